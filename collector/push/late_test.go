package push_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"dewline/health"
)

// An agent that held its reports back through an outage of the network: that water was there is told, as of its own time.
func TestAWetReportThatComesLate(t *testing.T) {
	ago := func(m int, value string) string { return pdu(noon.Add(-time.Duration(m)*time.Minute), "leak="+value) }
	events := func(t *testing.T, w *world) (out []string) {
		t.Helper()
		for _, v := range w.visits(t) {
			for _, e := range v.Events {
				if e.Kind == health.KindLeakDetected {
					when := "now"
					if !e.SourceTime.IsZero() {
						when = fmt.Sprint(noon.Sub(e.SourceTime).Minutes())
					}
					out = append(out, fmt.Sprint(e.Component, " ", e.Severity, " ", e.Transition, " ", when))
					if e.At.Before(noon.Add(-time.Minute)) {
						t.Errorf("an event of %s: the past is written anew", e.At)
					}
				}
			}
			for _, c := range v.Snapshot.Components {
				if at := v.At(); at.Before(noon.Add(-5*time.Minute)) && at.After(noon.Add(-59*time.Minute)) {
					t.Errorf("%s is a reading of %s", c.ID, v.At())
				}
			}
		}
		return out
	}
	send := func(t *testing.T, w *world, body string) {
		t.Helper()
		if r := w.post("/write", body); r.Code != http.StatusNoContent {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	}
	const wet = "leak_detector/rope critical momentary "
	for name, x := range map[string]struct {
		before string // an hour before noon
		bodies []string
		want   []string
		faults []string
	}{
		"wet through the outage, dry now": {ago(60, "1i"), []string{ago(40, "2i") + ago(39, "2i") + ago(38, "2i") + ago(37, "1i") + ago(0, "1i")}, []string{wet + "40"}, nil},
		"wet twice":                       {ago(60, "1i"), []string{ago(40, "2i") + ago(39, "1i") + ago(20, "2i") + ago(0, "1i")}, []string{wet + "40", wet + "20"}, nil},
		"sent again":                      {ago(60, "1i"), []string{ago(40, "2i") + ago(0, "1i"), ago(40, "2i") + ago(0, "1i")}, []string{wet + "40"}, nil},
		"in several requests, what is of now first": {ago(60, "1i"), []string{ago(0, "1i"), ago(40, "2i"), ago(36, "2i") + ago(32, "2i")}, []string{wet + "40"}, nil},
		"the first that is ever heard of it":        {"", []string{ago(40, "2i")}, []string{wet + "40"}, nil},
		"wet through the outage and now": {ago(60, "1i"), []string{ago(40, "2i") + ago(0, "2i")},
			[]string{wet + "40", "leak_detector/rope critical asserted now"}, []string{"leak_detector/rope leak_detected critical"}},
		"only dry":                             {ago(60, "1i"), []string{ago(40, "1i") + ago(39, `"broken"`) + ago(0, "1i")}, nil, nil},
		"of a sender without a clock":          {ago(60, "1i"), []string{pdu(time.Unix(300, 0), "leak=2i") + ago(0, "1i")}, nil, nil},
		"a humidity that came late is no leak": {ago(60, "1i"), []string{pdu(noon.Add(-40*time.Minute), "humidity=2i") + ago(0, "1i")}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if x.before != "" {
				w.now = noon.Add(-59 * time.Minute)
				send(t, w, x.before)
			}
			w.now = noon
			for _, b := range x.bodies {
				w.start(t) // over a restart, too
				send(t, w, b)
			}
			if got := events(t, w); !slices.Equal(got, x.want) {
				t.Errorf("%q, want %q", got, x.want)
			}
			if f := w.faults(t); !slices.Equal(f, x.faults) {
				t.Errorf("faults %q, want %q", f, x.faults)
			}
		})
	}
	t.Run("a store that refuses it is told to the sender", func(t *testing.T) {
		w := newWorld(t)
		send(t, w, ago(0, "1i"))
		w.store.Refuse(func(*health.Visit) error { return errors.New("disk full") })
		if r := w.post("/write", ago(40, "2i")); r.Code != http.StatusServiceUnavailable {
			t.Errorf("%d %s", r.Code, r.Body)
		}
		w.store.Refuse(nil)
		send(t, w, ago(40, "2i"))
		if got := events(t, w); !slices.Equal(got, []string{wet + "40"}) {
			t.Errorf("%q", got)
		}
	})
}
