package ipmi

import (
	"context"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

// waitFor polls a condition that another goroutine brings about.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}

// A BMC has four sessions or so. One that was set up when its visit ended must not be left to its idle time-out.
func TestNoSessionIsLeftAtTheBMC(t *testing.T) {
	t.Parallel()
	serve := func(t *testing.T) (*bmcsim.IPMIServer, *proxy, *Client) {
		p := bmcsim.Profiles()[0]
		for _, p = range bmcsim.Profiles() {
			if p.Name == "legacy" {
				break
			}
		}
		srv, err := bmcsim.ServeIPMI(bmcsim.NewMachine(p, "m", 1), bmcsim.IPMIOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Close() })
		px := newProxy(t, srv.Addr(), "127.0.0.1:0")
		return srv, px, openAt(t, px.address(), func(o *Options) {
			o.Username, o.Password, o.Timeout = srv.Username(), secret.New(srv.Password()), 200*time.Millisecond
		})
	}
	closed := func(t *testing.T, srv *bmcsim.IPMIServer) {
		t.Helper()
		waitFor(t, "one login and no open session", func() bool { st := srv.Stats(); return st.Logins == 1 && st.OpenSessions == 0 })
	}
	isRAKP3, isRAKP4 := isPayload(payloadRAKP3), isPayload(payloadRAKP4)

	t.Run("cancelled with RAKP 3 on its way", func(t *testing.T) {
		t.Parallel()
		srv, px, c := serve(t)
		ctx, cancel := context.WithCancel(t.Context())
		px.set(func(d []byte) [][]byte {
			if isRAKP3(d) {
				cancel()
			}
			return [][]byte{d}
		}, nil)
		began := time.Now()
		if _, err := c.Read(ctx, health.Request{Tiers: readings}); health.ReasonFor(err) != health.ReasonStopped {
			t.Errorf("error %v", err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("returned after %v", d)
		}
		closed(t, srv)
	})
	t.Run("cancelled with RAKP 4 on its way", func(t *testing.T) {
		t.Parallel()
		srv, px, c := serve(t)
		ctx, cancel := context.WithCancel(t.Context())
		px.set(nil, func(d []byte) [][]byte {
			if isRAKP4(d) {
				cancel()
			}
			return [][]byte{d}
		})
		_, _ = c.Read(ctx, health.Request{Tiers: readings})
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		closed(t, srv)
	})
	t.Run("a deadline while RAKP 4 is held back", func(t *testing.T) {
		t.Parallel()
		srv, px, c := serve(t)
		px.set(nil, func(d []byte) [][]byte {
			if isRAKP4(d) {
				return nil
			}
			return [][]byte{d}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := c.Read(ctx, health.Request{Tiers: readings}); health.ReasonFor(err) != health.ReasonTimeout {
			t.Errorf("error %v", err)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("returned after %v", d)
		}
		closed(t, srv)
	})
	t.Run("RAKP 4 is lost for good", func(t *testing.T) {
		t.Parallel()
		srv, px, c := serve(t)
		px.set(nil, func(d []byte) [][]byte {
			if isRAKP4(d) {
				return nil
			}
			return [][]byte{d}
		})
		if _, err := c.Read(t.Context(), health.Request{Tiers: readings}); health.ReasonFor(err) != health.ReasonTimeout {
			t.Errorf("error %v", err)
		}
		waitFor(t, "no open session", func() bool {
			st := srv.Stats()
			return st.Logins > 0 && st.OpenSessions == 0 && st.Logouts == st.Logins
		})
	})
	t.Run("closed with a context that is over", func(t *testing.T) {
		t.Parallel()
		srv, _, c := serve(t)
		mustRead(t, c, health.Request{Tiers: readings})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		closed(t, srv)
	})
	t.Run("the first Close Session is lost", func(t *testing.T) {
		t.Parallel()
		srv, px, c := serve(t)
		mustRead(t, c, health.Request{Tiers: readings})
		lost := false
		px.set(func(d []byte) [][]byte {
			if !lost {
				lost = true
				return nil
			}
			return [][]byte{d}
		}, nil)
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
		closed(t, srv)
	})
	t.Run("taken for lost although it lives", func(t *testing.T) {
		t.Parallel()
		srv, px, c := serve(t)
		s := mustRead(t, c, health.Request{Tiers: readings})
		n := 0
		px.set(nil, func(d []byte) [][]byte { // one command goes unanswered
			if n++; n <= 3 {
				return nil
			}
			return [][]byte{d}
		})
		mustRead(t, c, health.Request{Tiers: readings, Memory: s.Memory})
		waitFor(t, "one open session of two", func() bool { st := srv.Stats(); return st.Logins == 2 && st.OpenSessions == 1 })
	})
	t.Run("a BMC that is slow, cancelled at any point", func(t *testing.T) {
		t.Parallel()
		srv, _, c := serve(t)
		srv.SetLatency(3 * time.Millisecond)
		for i := range 12 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*2)*time.Millisecond)
			_, _ = c.Read(ctx, health.Request{Tiers: readings})
			cancel()
			ended, stop := context.WithCancel(t.Context())
			if i%2 == 0 {
				stop()
			}
			_ = c.Close(ended)
			stop()
		}
		waitFor(t, "no open session", func() bool { st := srv.Stats(); return st.OpenSessions == 0 && st.Logouts == st.Logins })
	})
}
