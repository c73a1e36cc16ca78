package redfish

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
)

// all is a visit of every tier that must fail or not, and never leak.
func failing(t *testing.T, c *Client) *health.Error {
	t.Helper()
	s, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier})
	if s == nil {
		t.Fatal("a snapshot is returned always")
	}
	if err == nil {
		t.Fatalf("no error; gaps %+v", s.Gaps)
	}
	e, ok := errors.AsType[*health.Error](err)
	if !ok {
		t.Fatalf("error %T %v is no *health.Error", err, err)
	}
	if strings.Contains(err.Error(), testPassword) {
		t.Errorf("the error holds the password: %v", err)
	}
	return e
}

// bomb is 64 MiB of zeros in 64 KiB: one MiB, compressed once, as often as that.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	return bytes.Repeat(b.Bytes(), 64)
})

func TestAnswersAreClassified(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		reason health.Reason
	}{
		{"401", func(w http.ResponseWriter) { w.WriteHeader(401) }, health.ReasonDenied},
		{"403", func(w http.ResponseWriter) { w.WriteHeader(403) }, health.ReasonDenied},
		{"404", func(w http.ResponseWriter) { w.WriteHeader(404) }, health.ReasonNotFound},
		{"429", func(w http.ResponseWriter) { w.WriteHeader(429) }, health.ReasonBusy},
		{"500", func(w http.ResponseWriter) { w.WriteHeader(500) }, health.ReasonServerError},
		{"503", func(w http.ResponseWriter) { w.WriteHeader(503) }, health.ReasonBusy},
		{"half JSON", func(w http.ResponseWriter) { fmt.Fprint(w, `{"Name":"x","Systems":{"@od`) }, health.ReasonMalformed},
		{"HTML", func(w http.ResponseWriter) { fmt.Fprint(w, `<html>login</html>`) }, health.ReasonMalformed},
		{"an array", func(w http.ResponseWriter) { fmt.Fprint(w, `[1,2]`) }, health.ReasonMalformed},
		{"nothing", func(w http.ResponseWriter) {}, health.ReasonMalformed},
		{"10 MB", func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"Name":"`)
			for range 10 {
				_, _ = w.Write(bytes.Repeat([]byte("a"), 1<<20))
			}
		}, health.ReasonTooLarge},
		{"a gzip bomb", func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb())
		}, health.ReasonTooLarge},
		{"an error under 200", func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"error":{"code":"Base.1.12.GeneralError","message":"A general error has occurred."}}`)
		}, health.ReasonServerError},
	} {
		t.Run(c.name+" for everything", func(t *testing.T) {
			srv := newService(t, ownTree(t, "classic"))
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet {
					c.answer(w)
					return true
				}
				return false
			})
			if e := failing(t, srv.open(t)); e.Reason != c.reason {
				t.Errorf("reason %s, want %s: %v", e.Reason, c.reason, e)
			}
		})
		t.Run(c.name+" for Thermal only", func(t *testing.T) {
			srv := newService(t, ownTree(t, "classic"))
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/Thermal") {
					c.answer(w)
					return true
				}
				return false
			})
			s, err := srv.open(t).Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings)})
			if err != nil {
				t.Fatalf("one bad document costs itself: %v", err)
			}
			if len(s.Gaps) == 0 || s.Gaps[0].Reason != c.reason {
				t.Errorf("gaps %+v, want %s", s.Gaps, c.reason)
			}
			if c.reason != health.ReasonDenied && component(s, "psu/ServerPowerSupply#0") == nil {
				t.Error("the rest is read")
			}
		})
	}
}

func TestGzipAnswerIsRead(t *testing.T) {
	tree := ownTree(t, "classic")
	srv := newService(t, tree)
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		body, ok := tree[r.URL.Path]
		if !ok || r.Method != http.MethodGet {
			return false
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write([]byte(body))
		_ = z.Close()
		return true
	})
	if s := read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings)}); len(ofClass(s, health.ClassFan)) != 5 {
		t.Errorf("fans %+v", ofClass(s, health.ClassFan))
	}
}

func TestHungServerEndsWithTheDeadline(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	srv.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	t.Run("the visit's deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		s, err := srv.open(t).Read(ctx, health.Request{Tiers: health.EveryTier})
		if health.ReasonFor(err) != health.ReasonTimeout || s.Cost.Requests != 1 {
			t.Errorf("%v, %d requests", err, s.Cost.Requests)
		}
	})
	t.Run("the request's", func(t *testing.T) {
		s, err := srv.open(t, func(o *Options) { o.Timeout = 50 * time.Millisecond }).Read(t.Context(), health.Request{Tiers: health.EveryTier})
		if health.ReasonFor(err) != health.ReasonTimeout || s.Cost.Requests != 1 {
			t.Errorf("%v, %d requests", err, s.Cost.Requests)
		}
	})
	t.Run("our stop is not its fault", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := srv.open(t).Read(ctx, health.Request{Tiers: health.EveryTier})
		if health.ReasonFor(err) != health.ReasonStopped {
			t.Errorf("%v", err)
		}
	})
}

func TestDeadAddressIsUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	c, err := Open("t", Options{Address: "https://" + addr, TLS: TLS{Insecure: true}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier})
	if health.ReasonFor(err) != health.ReasonUnreachable || s.Cost.Requests != 1 || s.Cost.Connections != 1 {
		t.Errorf("%v, cost %+v", err, s.Cost)
	}
}

// stranger is another server that must never be asked.
func stranger(t *testing.T) (url string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	srv := newService(t, map[string]string{rootURI: `{}`})
	srv.onRequest(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	return srv.URL, asked
}

func TestTokenNeverLeavesTheHost(t *testing.T) {
	other, asked := stranger(t)
	for _, link := range []string{
		other + "/redfish/v1/Chassis/1/Thermal", "//" + strings.TrimPrefix(other, "https://") + "/redfish/v1/x", "@" + strings.TrimPrefix(other, "https://") + "/x",
		"https://user:pass@127.0.0.1/redfish/v1/x", "http://127.0.0.1/redfish/v1/x", "/redfish/v1/../../etc", "/etc/passwd", "redfish/v1/x", "/redfish/v1//x",
		"/redfish/v1/%2e%2e/%2e%2e/etc", "javascript:alert(1)", "/redfish/v1/\u0000", "\\\\host\\x", "https:/redfish/v1",
	} {
		for _, where := range []string{"/redfish/v1/Chassis", "/redfish/v1/Chassis/1", "/redfish/v1/Systems/1/Storage/RAID", "/redfish/v1/Systems/1/LogServices/Sel/Entries"} {
			tree := ownTree(t, "classic")
			b := tree[where]
			for _, l := range []string{"/redfish/v1/Chassis/1/Thermal", "/redfish/v1/Chassis/1", "/redfish/v1/Systems/1/Storage/RAID/Drives/0", "/redfish/v1/Systems/1/LogServices/Sel/Entries/1"} {
				b = strings.ReplaceAll(b, `"@odata.id": "`+l+`"`, fmt.Sprintf(`"@odata.id": %q`, link))
			}
			tree[where] = b
			srv := newService(t, tree)
			s, err := srv.open(t).Read(t.Context(), health.Request{Tiers: health.EveryTier})
			if err != nil && health.ReasonFor(err) == "" {
				t.Errorf("%q: %v", link, err)
			}
			checkSnapshot(t, s)
			reqs, _ := srv.counts()
			for _, r := range reqs {
				if _, uri, _ := strings.Cut(r, " "); !strings.HasPrefix(uri, "/redfish/v1") {
					t.Errorf("%q leads to %s", link, r)
				}
			}
		}
	}
	if asked.Load() != 0 {
		t.Errorf("another host was asked %d times", asked.Load())
	}
}

func TestRedirects(t *testing.T) {
	other, asked := stranger(t)
	for _, c := range []struct {
		name string
		to   func(path string) string
		code int
		ok   bool
	}{
		{"308 to the slash", func(p string) string { return p + "/" }, 308, true},
		{"307 to the slash", func(p string) string { return p + "/" }, 307, true},
		{"to another host", func(p string) string { return other + p }, 307, false},
		{"to another path", func(string) string { return "/redfish/v1/Managers/1" }, 308, false},
		{"to itself", func(p string) string { return p }, 307, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := newService(t, ownTree(t, "classic"))
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/") {
					return false
				}
				w.Header().Set("Location", c.to(r.URL.Path))
				w.WriteHeader(c.code)
				return true
			})
			s, err := srv.open(t).Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings)})
			if c.ok && (err != nil || len(ofClass(s, health.ClassFan)) != 5 || srv.created != 1) {
				t.Errorf("%v, %d components, %d sessions", err, len(s.Components), srv.created)
			}
			if !c.ok && health.ReasonFor(err) != health.ReasonUnsupported {
				t.Errorf("%v", err)
			}
			if reqs, _ := srv.counts(); s.Cost.Requests != len(reqs) {
				t.Errorf("%d requests counted, %d came", s.Cost.Requests, len(reqs))
			}
		})
	}
	if asked.Load() != 0 {
		t.Errorf("another host was asked %d times", asked.Load())
	}
}

func TestEndlessCollectionsEnd(t *testing.T) {
	for _, c := range []struct {
		name string
		next func(r *http.Request, n int) string
	}{
		{"a page that links itself", func(r *http.Request, _ int) string { return r.URL.RequestURI() }},
		{"two pages that link each other", func(r *http.Request, n int) string { return fmt.Sprintf("%s?$skip=%d", r.URL.Path, n%2) }},
		{"pages without end", func(r *http.Request, n int) string { return fmt.Sprintf("%s?$skip=%d", r.URL.Path, n) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := newService(t, ownTree(t, "classic"))
			n := 0
			srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodGet && (strings.HasSuffix(r.URL.Path, "/Memory") || strings.HasSuffix(r.URL.Path, "/Entries")) {
					n++
					fmt.Fprintf(w, `{"@odata.id":%q,"Members":[{"@odata.id":"%s/X%d","Id":"%d","Message":"m","Created":"2026-11-23T00:00:00Z"}],"Members@odata.nextLink":%q}`, r.URL.Path, r.URL.Path, n, n, c.next(r, n))
					return true
				}
				return false
			})
			s, err := srv.open(t).Read(t.Context(), health.Request{Tiers: health.EveryTier})
			if err != nil {
				t.Fatal(err)
			}
			checkSnapshot(t, s)
			if n > 4*(maxPages+4) {
				t.Errorf("%d pages were read", n)
			}
		})
	}
}

func TestBudgetEndsTheVisitWithAGap(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t, func(o *Options) { o.RequestBudget = 12 })
	s, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier})
	if err != nil {
		t.Fatal(err)
	}
	reqs, _ := srv.counts()
	if len(reqs) != 12 || s.Cost.Requests != 12 {
		t.Errorf("%d requests came, %d counted", len(reqs), s.Cost.Requests)
	}
	found := false
	for _, g := range s.Gaps {
		found = found || g.Reason == health.ReasonBudget
	}
	if !found {
		t.Errorf("gaps %+v", s.Gaps)
	}
	if err := c.Close(t.Context()); err != nil || srv.deleted != 1 {
		t.Errorf("logging out needs no budget: %v", err)
	}
}

func TestNothingIsWritten(t *testing.T) {
	srv := newService(t, ownTree(t, "modern"))
	c := srv.open(t)
	read(t, c, health.Request{Tiers: health.EveryTier})
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	reqs, _ := srv.counts()
	for _, r := range reqs {
		if !strings.HasPrefix(r, "GET ") && !strings.Contains(r, "/SessionService/Sessions") {
			t.Errorf("%s", r)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPatch, srv.URL+"/redfish/v1/Systems/1", strings.NewReader("{}"))
	if _, err := c.http.Do(req); err == nil {
		t.Error("the chain lets a PATCH through")
	}
	req, _ = http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/redfish/v1/Systems/1/Actions/ComputerSystem.Reset", strings.NewReader("{}"))
	if _, err := c.http.Do(req); err == nil {
		t.Error("the chain lets an action through")
	}
}

func TestHarmfulPathsAreNotAsked(t *testing.T) {
	tree := ownTree(t, "classic")
	tree[rootURI] = strings.Replace(tree[rootURI], `"Contoso"`, `"Dell"`, 1)
	tree["/redfish/v1/Chassis"] = `{"Members":[{"@odata.id":"/redfish/v1/Chassis/1"},{"@odata.id":"/redfish/v1/Chassis/Enclosure.Internal.0-1:RAID.Integrated.1-1"}]}`
	srv := newService(t, tree)
	read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
	reqs, _ := srv.counts()
	for _, r := range reqs {
		if strings.Contains(r, "Chassis/Enclosure") {
			t.Errorf("%s restarts an iDRAC", r)
		}
	}
	c := srv.open(t)
	c.mem.Root.Vendor = "Dell"
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/redfish/v1/Chassis/RAID.Slot.1", nil)
	if _, err := c.http.Do(req); err == nil {
		t.Error("the chain lets a harmful path through")
	}
	srv.reset()
	read(t, srv.open(t, func(o *Options) { o.QuirksOff = []string{"idrac-raid-enclosure", "idrac-fqdd"} }), health.Request{Tiers: health.TiersOf(health.TierHealth)})
	reqs, _ = srv.counts()
	if !strings.Contains(strings.Join(reqs, "\n"), "Chassis/Enclosure") {
		t.Error("a quirk that is switched off is off")
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	var buf bytes.Buffer
	srv := newService(t, ownTree(t, "classic"))
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":{"message":"The value %s for the property Password is wrong."}}`, testPassword)
			return true
		}
		return false
	})
	c := srv.open(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s, err := c.Read(t.Context(), health.Request{Tiers: health.EveryTier})
	if err == nil {
		t.Fatal("400 for the login is an error")
	}
	for what, text := range map[string]string{"log": buf.String(), "error": err.Error(), "options": fmt.Sprintf("%+v", c.o), "snapshot": fmt.Sprintf("%+v", s)} {
		if strings.Contains(text, testPassword) {
			t.Errorf("the %s holds the password", what)
		}
	}
}

func TestAtMostTwoRequestsAtOnce(t *testing.T) {
	srv := newService(t, ownTree(t, "modern"))
	var now, most atomic.Int64
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		srv.serve(w, r)
		now.Add(-1)
		return true
	})
	s := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
	// A second dial may be under way, and counted, when the first connection has already answered everything.
	if _, conns := srv.counts(); most.Load() > 2 || conns > 2 || s.Cost.Connections < conns || s.Cost.Connections > 2 {
		t.Errorf("%d requests at once on %d connections, %d counted", most.Load(), conns, s.Cost.Connections)
	}
}

func TestDroppedConnectionInMidVisitCostsOneDocument(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/Thermal") {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				if tc, ok := conn.(*tls.Conn); ok {
					_ = tc.NetConn().Close()
				}
			}
			return true
		}
		return false
	})
	s := read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings)})
	if len(ofClass(s, health.ClassPSU)) != 2 {
		t.Errorf("%d components, gaps %+v", len(s.Components), s.Gaps)
	}
}

func TestMemoryWithForeignLinksIsNotBelieved(t *testing.T) {
	other, asked := stranger(t)
	srv := newService(t, ownTree(t, "classic"))
	s := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
	bad := []byte(strings.ReplaceAll(string(s.Memory), "/redfish/v1/Chassis/1/Thermal", other+"/redfish/v1/Chassis/1/Thermal"))
	w := read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: bad})
	if asked.Load() != 0 || len(ofClass(w, health.ClassFan)) != 5 {
		t.Errorf("asked %d, fans %d", asked.Load(), len(ofClass(w, health.ClassFan)))
	}
	for _, junk := range []string{"", "null", "[]", `{"v":99}`, `{"v":1,"chassis":7}`, "\x00"} {
		read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierReadings), Memory: []byte(junk)})
	}
}
