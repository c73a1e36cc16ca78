package influx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// Every kind of bad weather, then good: nothing is lost, it is said once, and its end is said.
func TestWeather(t *testing.T) {
	for _, c := range []struct {
		name  string
		bad   reply
		kind  string // in State.LastError
		least time.Duration
	}{
		{"no server", reply{err: errRefusedConnection}, "connection refused", 0},
		{"no answer", reply{hang: true}, "deadline exceeded", DefaultTimeout},
		{"a wrong token", says(401, `{"code":"unauthorized","message":"unauthorized access"}`), "check token", 0},
		{"a wrong token on 1.8", says(401, `{"error":"authorization failed"}`), "authorization failed", 0},
		{"a token that may only read", says(403, `{"code":"forbidden","message":"insufficient permissions for write"}`), "allowed to write", 0},
		{"no bucket", says(404, `{"code":"not found","message":"bucket \"hardware\" not found"}`), `bucket "hardware" not found`, 0},
		{"no database on 1.8", says(404, `{"error":"database not found: \"hardware\""}`), "check url, organization and bucket", 0},
		{"too many requests", says(429, `{"code":"too many requests","message":"slow down"}`, "Retry-After", "90"), "slow down", 90 * time.Second},
		{"too many requests until a date", says(429, "", "Retry-After", time.Date(2000, 1, 1, 0, 5, 0, 0, time.UTC).Format(http.TimeFormat)), "429", 5*time.Minute - time.Second},
		{"unavailable with Retry-After", says(503, "", "Retry-After", "40"), "503", 40 * time.Second},
		{"an internal error", says(500, `{"error":"timeout"}`), "500 Internal Server Error: timeout", 0},
		{"a gateway without its server", says(502, "<html>Bad Gateway</html>"), "502 Bad Gateway", 0},
		{"a redirect, whose GET would look like success", says(301, "", "Location", "https://influx.test/"), "redirected to https://influx.test/", 0},
		{"a web page", says(200, "<html>welcome</html>"), "no InfluxDB answers", 0},
		{"a 400 of something that is no InfluxDB", says(400, "<html>The plain HTTP request was sent to HTTPS port</html>"), "400 Bad Request", 0},
		{"a 400 that blames the request", says(400, `{"code":"invalid","message":"Please provide either orgID or org"}`), "either orgID or org", 0},
		{"a 422 of a gateway that refuses all", says(422, "no"), "422 Unprocessable Entity: no", 0},
		{"a proxy that finds all too large", says(413, "<html>"), "413 Request Entity Too Large", 0},
		{"a server that echoes the token", says(500, "no such token: "+theToken), "no such token: ***", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bad := true
				f := newFake(func([]string) reply {
					if bad {
						return c.bad
					}
					return reply{}
				})
				m := memoryOf(t, 3)
				s, out := newSink(t, options(), m, f)
				stop := run(t, s)

				time.Sleep(15 * time.Minute)
				synctest.Wait()
				st := s.State()
				if points, _ := f.count(); points != 0 || cursor(t, m) != 0 || len(m.Rejected(DefaultName)) != 0 {
					t.Fatalf("points stored %d, cursor %d, quarantine %v", points, cursor(t, m), m.Rejected(DefaultName))
				}
				if !strings.Contains(st.LastError, c.kind) || st.Since.IsZero() || !st.Oldest.Equal(t0) || st.Cursor != 0 {
					t.Errorf("state %+v", st)
				}
				if strings.Contains(st.LastError, theToken) {
					t.Error("the token is in the error")
				}
				if n := out.count("level=WARN"); n != 1 {
					t.Errorf("said %d times:\n%s", n, out)
				}
				for i, at := range f.at[1:] {
					if d := at.Sub(f.at[i]); d < c.least && i == 0 {
						t.Errorf("tried again after %v, want %v at least", d, c.least)
					}
				}
				if _, n := f.count(); n < 2 || n > 60 {
					t.Errorf("%d tries in a quarter of an hour", n)
				}

				f.mu.Lock()
				bad = false
				f.mu.Unlock()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if points, _ := f.count(); points != 6 || cursor(t, m) != 3 {
					t.Errorf("points stored %d, cursor %d", points, cursor(t, m))
				}
				st = s.State()
				if st.LastError != "" || !st.Since.IsZero() || st.Lag != 0 || st.Delivered != 6 || st.Cursor != 3 || st.Quarantined != 0 {
					t.Errorf("state afterwards %+v", st)
				}
				if out.count("delivering again") != 1 || out.count("level=WARN") != 1 {
					t.Errorf("log:\n%s", out)
				}
				stop()
			})
		})
	}
}

func TestRetryAfterIsObeyedEveryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func([]string) reply { return says(429, "", "Retry-After", "100") })
		s, _ := newSink(t, options(), memoryOf(t, 1), f)
		stop := run(t, s)
		time.Sleep(10 * time.Minute)
		stop()
		if n := len(f.at); n != 6 { // 100 to 110 s apart, the first at once
			t.Errorf("%d tries", n)
		}
		for i := range f.at[1:] {
			if d := f.at[i+1].Sub(f.at[i]); d < 100*time.Second || d > 111*time.Second {
				t.Errorf("try %d came after %v", i+1, d)
			}
		}
	})
}

func TestBackOffGrowsWithJitterToItsBound(t *testing.T) {
	b := defaultBackoff
	for try, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, time.Minute, time.Minute} {
		seen := map[time.Duration]bool{}
		for range 50 {
			d := b.delay(try, 0)
			if d < most/2 || d > most {
				t.Fatalf("try %d: %v, want %v to %v", try, d, most/2, most)
			}
			seen[d] = true
		}
		if len(seen) < 40 {
			t.Errorf("try %d: %d different delays of 50: no jitter", try, len(seen))
		}
	}
	if d := b.delay(1<<40, 0); d > time.Minute || d < 30*time.Second {
		t.Errorf("after very many tries: %v", d)
	}
	if d := b.delay(0, 24*365*time.Hour); d > mostRetryAfter+mostRetryAfter/10 {
		t.Errorf("a server asked for a year and got %v", d)
	}
}

func TestOrderIsKeptAndEachVisitSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const visits = 700
		n := 0
		f := newFake(func([]string) reply {
			n++
			if n%3 == 0 {
				return says(503, "")
			}
			return reply{}
		})
		o := options()
		o.BatchLines = 50
		m := memoryOf(t, visits)
		s, _ := newSink(t, o, m, f)
		stop := run(t, s)
		time.Sleep(24 * time.Hour)
		stop()
		var want []string
		for _, v := range m.Visits() {
			want = append(want, Encode(v, target())...)
		}
		if !slices.Equal(f.order, want) {
			t.Errorf("%d lines came, %d were recorded, or the order is another", len(f.order), len(want))
		}
		for _, w := range f.writes {
			if len(w) > 50 {
				t.Errorf("a batch of %d lines", len(w))
			}
			if !strings.HasPrefix(w[0], "hw_fan") || !strings.HasPrefix(w[len(w)-1], "hw_visit") {
				t.Error("a batch was cut inside a visit")
			}
		}
		if h := f.heads[0]; h.Get("Content-Encoding") != "gzip" || h.Get("Authorization") != "Token "+theToken || h.Values("Idempotency-Key") != nil && len(h["Idempotency-Key"]) > 0 {
			t.Errorf("headers %v", h)
		}
		if p := f.paths[0]; p != "http://influx.test:8086/api/v2/write?bucket=hardware&org=lab&precision=ns" {
			t.Errorf("path %s", p)
		}
	})
}

func TestAVisitLargerThanABatchMovesTheCursorOnlyWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		big := simple(0)
		for i := range 95 {
			big.Snapshot.Components = append(big.Snapshot.Components, health.Component{ID: health.ComponentID(fmt.Sprintf("drive/%d", i)), Class: health.ClassDrive})
		}
		down := false
		f := newFake(nil)
		f.judge = func([]string) reply {
			if len(f.writes) > 5 && down {
				return reply{err: errRefusedConnection}
			}
			return reply{}
		}
		down = true
		m := storetest.NewMemory()
		record(t, m, big)
		o := options()
		o.BatchLines = 10
		s, _ := newSink(t, o, m, f)
		run(t, s)
		time.Sleep(time.Hour)
		synctest.Wait()
		if points, _ := f.count(); points != 50 || cursor(t, m) != 0 {
			t.Errorf("half way: %d points, cursor %d", points, cursor(t, m))
		}
		f.mu.Lock()
		down = false
		f.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if points, _ := f.count(); points != 97 || cursor(t, m) != 1 {
			t.Errorf("at the end: %d points, cursor %d", points, cursor(t, m))
		}
	})
}

func TestACommitWakesTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, m := newFake(nil), storetest.NewMemory()
		s, _ := newSink(t, options(), m, f)
		run(t, s)
		for i := range 5 {
			synctest.Wait()
			record(t, m, simple(i))
			synctest.Wait() // no time passes
			if points, _ := f.count(); points != 2*(i+1) {
				t.Fatalf("after commit %d: %d points", i, points)
			}
		}
	})
}

func TestAStopLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(func([]string) reply { return reply{hang: true} })
		m := memoryOf(t, 2)
		s, out := newSink(t, options(), m, f)
		stop := run(t, s)
		synctest.Wait()
		stop() // in the middle of a write
		if cursor(t, m) != 0 || out.count("WARN") != 0 {
			t.Errorf("cursor %d, log:\n%s", cursor(t, m), out)
		}
		f.judge = nil
		s, _ = newSink(t, options(), m, f)
		run(t, s)
		synctest.Wait()
		if points, _ := f.count(); points != 4 || cursor(t, m) != 2 {
			t.Errorf("after the next start: %d points, cursor %d", points, cursor(t, m))
		}
	})
}

func TestWhatWasAcknowledgedBeforeAStopIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		f := newFake(func([]string) reply { stop(); return reply{} })
		m := memoryOf(t, 2)
		s, _ := newSink(t, options(), m, f)
		if err := s.Run(ctx); err != nil || cursor(t, m) != 2 || s.State().Delivered != 4 {
			t.Errorf("error %v, cursor %d, state %+v", err, cursor(t, m), s.State())
		}
	})
}

func TestAStoreThatHangsDoesNotHoldUpAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &moody{memoryOf(t, 1), map[string]int{"set": 1 << 30}}
		s, _ := newSink(t, options(), m, newFake(nil))
		stop := run(t, s)
		time.Sleep(time.Minute)
		at := time.Now()
		stop()
		if d := time.Since(at); d > stopGrace {
			t.Errorf("the stop took %v", d)
		}
	})
}

// moody is a store whose methods fail a few times first.
type moody struct {
	*storetest.Memory
	left map[string]int
}

func (m *moody) fail(what string) error {
	if m.left[what] > 0 {
		m.left[what]--
		return errors.New("database is locked")
	}
	return nil
}

func (m *moody) After(ctx context.Context, seq int64, n int) ([]*health.Visit, error) {
	if err := m.fail("after"); err != nil {
		return nil, err
	}
	return m.Memory.After(ctx, seq, n)
}

func (m *moody) SinkCursor(ctx context.Context, name string) (int64, error) {
	if err := m.fail("cursor"); err != nil {
		return 0, err
	}
	return m.Memory.SinkCursor(ctx, name)
}

func (m *moody) SetSinkCursor(ctx context.Context, name string, seq int64) error {
	if err := m.fail("set"); err != nil {
		return err
	}
	return m.Memory.SetSinkCursor(ctx, name, seq)
}

func (m *moody) Quarantine(ctx context.Context, name string, rows []health.Rejected) error {
	if err := m.fail("quarantine"); err != nil {
		return err
	}
	return m.Memory.Quarantine(ctx, name, rows)
}

func TestAStoreThatFailsForAWhileIsWaitedFor(t *testing.T) {
	for _, what := range []string{"after", "cursor", "set", "quarantine"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &moody{memoryOf(t, 2), map[string]int{what: 4}}
				f := newFake(rejectWhole422("speed_rpm=1,"))
				s, out := newSink(t, options(), m, f)
				run(t, s)
				time.Sleep(time.Hour)
				synctest.Wait()
				if points, _ := f.count(); points != 3 || cursor(t, m.Memory) != 2 || len(m.Rejected(DefaultName)) != 1 {
					t.Errorf("%d points, cursor %d, quarantine %v", points, cursor(t, m.Memory), m.Rejected(DefaultName))
				}
				if st := s.State(); st.LastError != "" || st.Delivered != 3 || st.Quarantined != 1 {
					t.Errorf("state %+v", st)
				}
				if out.count("database is locked") != 1 || out.count("delivering again") != 1 {
					t.Errorf("log:\n%s", out)
				}
			})
		})
	}
}
