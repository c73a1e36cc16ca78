package collector_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"dewline/health"
)

func TestWhatIsNotReadIsSaidOnChange(t *testing.T) {
	gap := func(part string, reason health.Reason) health.Gap {
		return health.Gap{Part: part, Place: part, Reason: reason, Error: "10 MB"}
	}
	for _, c := range []struct {
		name string
		gaps func(at time.Duration, req health.Request) []health.Gap
		// lines of warning that parts are not read, of information, and that they are again
		warned, told, again int
	}{
		{"none", func(time.Duration, health.Request) []health.Gap { return nil }, 0, 0, 0},
		{"a part for two hours", func(at time.Duration, _ health.Request) []health.Gap {
			if at < time.Hour || at > 3*time.Hour {
				return nil
			}
			return []health.Gap{gap("/redfish/v1/Chassis/1/Thermal", health.ReasonTooLarge)}
		}, 1, 0, 1},
		{"a second part beside it", func(at time.Duration, _ health.Request) []health.Gap {
			gs := []health.Gap{gap("a", health.ReasonMalformed)}
			if at > time.Hour {
				gs = append(gs, gap("b", health.ReasonMalformed))
			}
			return gs
		}, 2, 0, 0},
		{"another reason", func(at time.Duration, _ health.Request) []health.Gap {
			if at > time.Hour {
				return []health.Gap{gap("a", health.ReasonTimeout)}
			}
			return []health.Gap{gap("a", health.ReasonMalformed)}
		}, 2, 0, 1},
		{"a part of the health tier, which most visits do not read", func(_ time.Duration, req health.Request) []health.Gap {
			if !req.Tiers.Has(health.TierHealth) {
				return nil
			}
			return []health.Gap{gap("drives", health.ReasonMalformed)}
		}, 1, 0, 0},
		{"a part of the readings that was first missed by a visit of all tiers", func(at time.Duration, _ health.Request) []health.Gap {
			if at > 8*time.Minute {
				return nil
			}
			return []health.Gap{gap("fans", health.ReasonMalformed)}
		}, 1, 0, 1},
		{"what the machine does not have", func(time.Duration, health.Request) []health.Gap {
			return []health.Gap{gap("a", health.ReasonUnsupported), gap("b", health.ReasonNotFound)}
		}, 0, 1, 0},
		{"other parts at each visit for want of requests", func(at time.Duration, _ health.Request) []health.Gap {
			return []health.Gap{gap(fmt.Sprint(at), health.ReasonBudget)}
		}, 1, 0, 0},
		// Twelve lines in an hour, the last of which says that there are no more.
		{"names of chance, without end", func(at time.Duration, _ health.Request) []health.Gap {
			return []health.Gap{gap(fmt.Sprint(at), health.ReasonMalformed)}
		}, -1, 0, -1},
		{"stopped by us", func(time.Duration, health.Request) []health.Gap {
			return []health.Gap{gap("a", health.ReasonStopped)}
		}, 0, 0, 0},
	} {
		bubble(t, c.name, func(t *testing.T) {
			r := newRig(t)
			begin := time.Now()
			r.add("db-1", everyMinute, func(_ context.Context, _ int, req health.Request) (*health.Snapshot, error) {
				s := healthy(req)
				s.Gaps = c.gaps(time.Since(begin), req)
				return s, nil
			})
			r.add("db-2", everyMinute, nil)
			r.run(6 * time.Hour)
			warned, told := r.log.count(`level=WARN msg="parts of the target are not read"`), r.log.count(`level=INFO msg="parts of the target are not read"`)
			again := r.log.count("are read again")
			if c.warned < 0 {
				if all := warned + told + again; all < 6*10 || all > 7*12 || r.log.count("is not said again within the hour") < 6 {
					t.Errorf("%d lines in six hours", all)
				}
			} else if warned != c.warned || told != c.told || again != c.again {
				t.Errorf("%d warnings, %d times told, %d times again: %s", warned, told, again, r.log.b.String())
			}
			if r.log.count("target=db-2") != 0 {
				t.Error("it is said of the other target")
			}
		})
	}
	bubble(t, "a target that cannot be read at all is said as such", func(t *testing.T) {
		r := newRig(t)
		r.add("db-1", everyMinute, func(context.Context, int, health.Request) (*health.Snapshot, error) {
			return &health.Snapshot{Gaps: []health.Gap{gap("a", health.ReasonMalformed)}}, &health.Error{Reason: health.ReasonMalformed, Op: "read", Err: errors.New("half a root")}
		})
		r.run(time.Hour)
		if n := r.log.count("are not read"); n != 0 {
			t.Errorf("%d lines of parts", n)
		}
		if n := r.log.count("level=WARN"); n != 2 { // suspect, unreachable
			t.Errorf("%d warnings", n)
		}
	})
}
