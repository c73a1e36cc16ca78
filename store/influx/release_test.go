package influx

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// quarantineAll has a server refuse every fan of a memory's visits, and gives the refused lines.
func quarantineAll(t *testing.T, m *storetest.Memory, f *fake, s *Sink) []string {
	t.Helper()
	f.judge = rejectWhole422("hw_fan")
	run(t, s)
	time.Sleep(time.Hour)
	synctest.Wait()
	var lines []string
	for _, r := range m.Rejected(DefaultName) {
		lines = append(lines, r.Line)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = nil
	return lines
}

func (f *fake) set(judge func([]string) reply) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judge = judge
}

func TestReleasedPointsAreSentAgainInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(nil), memoryOf(t, 40)
		o := options()
		o.BatchLines = 12
		s, out := newSink(t, o, m, f)
		lines := quarantineAll(t, m, f, s)
		if len(lines) != 40 {
			t.Fatalf("%d points in quarantine", len(lines))
		}
		f.set(nil)
		m.Release(DefaultName)
		synctest.Wait() // the release alone wakes the sink
		if !slices.Equal(f.order, lines) {
			t.Errorf("sent %q, want %q", f.order, lines)
		}
		if n := len(m.Rejected(DefaultName)); n != 0 {
			t.Errorf("%d points still stand in quarantine", n)
		}
		if points, _ := f.count(); points != 80 {
			t.Errorf("the server has %d points of 80", points)
		}
		if out.count("released points were sent again") != 4 || out.count("refused_again=0") != 4 {
			t.Errorf("log:\n%s", out)
		}
	})
}

func TestReleasedPointsThatAreRefusedAgainStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(nil), memoryOf(t, 10)
		s, _ := newSink(t, options(), m, f)
		lines := quarantineAll(t, m, f, s)
		bad := lines[4]
		f.set(func(got []string) reply {
			if slices.Contains(got, bad) {
				return says(400, `{"error":"unable to parse: still no good"}`)
			}
			return reply{}
		})
		m.Release(DefaultName)
		synctest.Wait()
		left := m.Rejected(DefaultName)
		if len(left) != 1 || left[0].Line != bad || left[0].Released || !strings.Contains(left[0].Error, "still no good") {
			t.Errorf("in quarantine: %+v", left)
		}
		// It is not tried again and again.
		_, before := f.count()
		record(t, m, simple(50))
		time.Sleep(time.Hour)
		if _, after := f.count(); after != before+1 {
			t.Errorf("%d writes for one visit", after-before)
		}
	})
}

// However many points are released, and refused, new visits go out between them.
func TestReleasedPointsDoNotBlockTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(nil), memoryOf(t, 200)
		o := options()
		o.BatchLines = 10
		s, _ := newSink(t, o, m, f)
		quarantineAll(t, m, f, s)
		var at []int // how many released points had been judged when a new visit came
		seen := 0
		f.set(func(lines []string) reply {
			for _, l := range lines {
				if strings.HasPrefix(l, "hw_visit") {
					at = append(at, seen)
				}
			}
			if strings.HasPrefix(lines[0], "hw_fan") && len(lines) > 2 {
				seen += len(lines)
				if n := 300 + len(at); len(at) < 5 {
					v := simple(n) // recorded while released points are under way
					if err := m.Record(t.Context(), v); err != nil {
						t.Error(err)
					}
				}
			}
			return reply{}
		})
		m.Release(DefaultName)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(at) < 5 || at[0] > 10 || at[4] > 50 {
			t.Errorf("new visits came after %v of 200 released points", at)
		}
		if n := len(m.Rejected(DefaultName)); n != 0 {
			t.Errorf("%d points are left", n)
		}
	})
}

func TestReleasedPointsSurviveAnOutageAndAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(nil), memoryOf(t, 6)
		s, out := newSink(t, options(), m, f)
		f.judge = rejectWhole422("hw_fan")
		stop := run(t, s)
		time.Sleep(time.Hour)
		f.set(func([]string) reply { return says(503, "") })
		m.Release(DefaultName)
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := s.State(); !strings.Contains(st.LastError, "503") || st.Lag < 50*time.Minute {
			t.Errorf("state %+v", st)
		}
		if out.count("nothing is delivered now") != 1 {
			t.Errorf("log:\n%s", out)
		}
		stop()
		if n := len(m.Rejected(DefaultName)); n != 6 {
			t.Fatalf("%d points of 6 are left", n)
		}
		f.set(nil)
		s, _ = newSink(t, options(), m, f)
		run(t, s)
		synctest.Wait()
		if points, _ := f.count(); points != 12 || len(m.Rejected(DefaultName)) != 0 {
			t.Errorf("%d points, %d in quarantine", points, len(m.Rejected(DefaultName)))
		}
	})
}

func TestSeries(t *testing.T) {
	for _, c := range []struct {
		line        string
		measurement string
		tags        map[string]string
	}{
		{"hw_fan,component=fan/1,target=db-1 state=0i 1", "hw_fan", map[string]string{"component": "fan/1", "target": "db-1"}},
		{`hw_fan,component=a\ b\,c\=d,target=x\y v=1 1`, "hw_fan", map[string]string{"component": "a b,c=d", "target": `x\y`}},
		{"hw_visit took_seconds=1 1", "hw_visit", map[string]string{}},
		{"", "", map[string]string{}},
		{"a,b", "a", map[string]string{}},
	} {
		m, tags := Series(c.line)
		if m != c.measurement || !maps.Equal(tags, c.tags) {
			t.Errorf("%q: %q %v", c.line, m, tags)
		}
	}
	v := simple(1)
	v.Target = `odd name, with = and \ in it`
	v.Snapshot.Components[0].ID, v.Snapshot.Readings[0].Component = "fan/Lüfter 1,a=b", "fan/Lüfter 1,a=b"
	for _, l := range Encode(v, health.Target{}) {
		if _, tags := Series(l); tags["target"] != string(v.Target) {
			t.Errorf("%q: %v", l, tags)
		}
	}
}
