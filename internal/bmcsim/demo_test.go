package bmcsim

import (
	"math"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			println("left behind: " + err.Error())
			code = 1
		}
	}
	os.Exit(code)
}

// dewPoint is Magnus' formula, enough for a test.
func dewPoint(t, rh float64) float64 {
	g := math.Log(rh/100) + 17.62*t/(243.12+t)
	return 243.12 * g / (17.62 - g)
}

// span is when a condition held, in seconds since the start.
type span struct{ from, to int }

func TestTheDemosStoryComesAndGoesWithinFiftySeconds(t *testing.T) {
	machines, story := DemoRoom(1)
	story.Start = testTime
	var fan, leak, moist span
	note := func(s *span, now bool, at int) {
		switch {
		case now && s.from == 0:
			s.from = at
		case !now && s.from > 0 && s.to == 0:
			s.to = at
		}
	}
	for at := range 60 {
		story.Apply(time.Duration(at) * time.Second)
		now := testTime.Add(time.Duration(at) * time.Second)
		f, l, margin := false, false, 99.0
		for _, m := range machines {
			s := m.At(now)
			for _, x := range s.Fans {
				f = f || x.Failed
			}
			for _, x := range s.Leaks {
				l = l || x.State == LeakWet
			}
			if m.Profile().Room {
				own := s.InletC - dewPoint(s.RoomTempC, s.RoomRH)
				if own < 0 {
					t.Errorf("%s at %d s: dew falls (margin %.1f K)", m.Name(), at, own)
				}
				margin = min(margin, own)
			}
		}
		note(&fan, f, at)
		note(&leak, l, at)
		note(&moist, margin < 2, at)
		if calm := at < 9 || at > 40; calm && (f || l || margin < 8) {
			t.Errorf("at %d s the room is not calm: fan %v, leak %v, margin %.1f K", at, f, l, margin)
		}
	}
	for name, s := range map[string]span{"fan": fan, "leak": leak, "condensation": moist} {
		if s.from < 8 || s.to > 45 || s.to-s.from < 12 {
			t.Errorf("%s from %d to %d s", name, s.from, s.to)
		}
	}
	t.Logf("fan %v, leak %v, condensation %v", fan, leak, moist)
}

func TestAScenarioEndsTheSameHoweverItIsStepped(t *testing.T) {
	logs := func(stepped bool) [][]Event {
		machines, story := DemoRoom(3)
		story.Start = testTime
		if stepped {
			for at := time.Duration(0); at <= 150*time.Second; at += 300 * time.Millisecond {
				story.Apply(at)
			}
		}
		story.Apply(150 * time.Second)
		if n := story.Apply(150 * time.Second); n != 0 {
			t.Errorf("%d steps happened twice", n)
		}
		var out [][]Event
		for _, m := range machines {
			out = append(out, m.Log())
		}
		return out
	}
	a, b := logs(true), logs(false)
	for i := range a {
		if len(a[i]) != len(b[i]) || len(a[i]) < 6 {
			t.Fatalf("machine %d: %d and %d entries", i, len(a[i]), len(b[i]))
		}
		for j := range a[i] {
			if a[i][j] != b[i][j] {
				t.Errorf("machine %d: %+v and %+v", i, a[i][j], b[i][j])
			}
		}
	}
}

func TestAScenarioRunsByItsTicksAndPlaysOnceWithoutAPeriod(t *testing.T) {
	m := testMachine(ProfileBoard)
	s := &Scenario{Machines: []*Machine{m}, Start: testTime, Steps: []Step{{At: 2 * time.Second, Who: []int{0}, Do: func(m *Machine) { m.OpenLid() }}}}
	ticks := make(chan time.Time, 3)
	for i := range 3 {
		ticks <- testTime.Add(time.Duration(i) * time.Minute)
	}
	close(ticks)
	s.Run(t.Context(), ticks)
	log := m.Log()
	if e := log[len(log)-1]; e.What != Intrusion || !e.Time.Equal(testTime.Add(2*time.Second)) || !m.At(testTime).Intrusion || len(log) != 6 {
		t.Errorf("log ends with %+v of %d", e, len(log))
	}
}

func TestTheDemoStartsOnLoopbackAndEnds(t *testing.T) {
	d, err := StartDemo(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	drivers := map[string]int{}
	for i, s := range d.Servers {
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		if host, _, err := net.SplitHostPort(u.Host); err != nil || host != "127.0.0.1" {
			t.Errorf("%s listens on %s", s.Name, s.URL)
		}
		drivers[s.Driver]++
		if s.Site != "bontang" || s.Rack != "A1" || s.Position != i+1 || s.Username == "" || s.Password == "" || (s.Driver == "redfish") != (len(s.Fingerprint) == 64) {
			t.Errorf("server %+v", s)
		}
	}
	if drivers["redfish"] != 3 || drivers["ipmi"] != 3 {
		t.Errorf("drivers %v", drivers)
	}
}
