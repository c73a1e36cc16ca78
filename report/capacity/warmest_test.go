package capacity

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dewline/health"
)

func TestTheWarmestTwentiethIsThatOfAllSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.IntRange(1, 12).Draw(t, "days")
		base := rapid.SampledFrom([]float64{-30, -0.4, 22}).Draw(t, "base")
		spread := rapid.SampledFrom([]int{0, 3, 200}).Draw(t, "tenths")
		gaps := rapid.SampledFrom([]int{0, 3, 90}).Draw(t, "percent of steps without fans")
		rng := rapid.IntRange(0, 99)
		w := warmTally{most: days * health.StepsPerDay}
		var duties dist
		var inlets, both []float64
		var pairs [][2]float64
		for d := range days {
			inlet, duty := make([]float64, health.StepsPerDay), make([]float64, health.StepsPerDay)
			// A few numbers a day, stretched over its steps: a draw for each step is slow to shrink.
			a, b, c := rng.Draw(t, "a"), rng.Draw(t, "b"), rng.Draw(t, "c")
			for i := range inlet {
				k := (i*(2*a+1) + b*i*i + c + 31*d) % 9973
				inlet[i], duty[i] = base+float64(k%(spread+1))/10, float64(20+(k*7+b)%80)
				if k%11 == 3 {
					inlet[i] = math.NaN()
				}
				if k%100 < gaps {
					duty[i] = math.NaN()
				}
				if !math.IsNaN(inlet[i]) {
					inlets = append(inlets, inlet[i])
					pairs = append(pairs, [2]float64{inlet[i], duty[i]})
				}
				if !math.IsNaN(duty[i]) {
					both = append(both, duty[i])
				}
			}
			w.day(inlet, duty)
		}
		duties.add(both)
		got := w.figure(&duties)
		if len(inlets) == 0 || len(both) == 0 {
			if got != nil {
				t.Fatalf("%+v of nothing", got)
			}
			return
		}
		from := math.Round(10 * rank(slices.Sorted(slices.Values(inlets)), 0.95))
		var hot []float64
		for _, p := range pairs {
			if math.Round(10*p[0]) >= from && !math.IsNaN(p[1]) {
				hot = append(hot, p[1])
			}
		}
		if got.From != from/10 || got.N != len(hot) {
			t.Fatalf("from %v, %d steps, want %v, %d", got.From, got.N, from/10, len(hot))
		}
		if (got.Duty == nil) != (len(hot) < minWarmest) {
			t.Fatalf("P95 %v of %d steps", got.Duty, len(hot))
		}
		if got.Duty != nil {
			if want := rank(slices.Sorted(slices.Values(hot)), 0.95); math.Abs(*got.Duty-want) > bin*want {
				t.Fatalf("P95 %v, want %v", *got.Duty, want)
			}
		}
	})
}

func TestInletsThatAreNoLongerWarmAreNotHeld(t *testing.T) {
	const days = 90
	w := warmTally{most: days * health.StepsPerDay}
	inlet, duty := make([]float64, health.StepsPerDay), make([]float64, health.StepsPerDay)
	for d := range days {
		for i := range inlet {
			inlet[i], duty[i] = 15+float64((i*37+d*101)%1500)/100, float64(20+(i*7+d)%60) // 150 tenths, 60 duties
		}
		w.day(inlet, duty)
	}
	steps := 0
	for _, x := range w.kept {
		steps += int(x.n)
	}
	if most := days * health.StepsPerDay / 20 * 5 / 4; steps > most || len(w.kept) > most {
		t.Errorf("%d steps are held in %d, want at most %d", steps, len(w.kept), most)
	}
}
