package redfish

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/internal/secret"
)

var readingsTier = health.Request{Tiers: health.TiersOf(health.TierReadings)}

// killed is a service with a session of a process that was killed, and the folder where that is written down.
func killed(t *testing.T) (srv *service, dir string) {
	t.Helper()
	srv, dir = newService(t, ownTree(t, "classic")), filepath.Join(t.TempDir(), "sessions")
	o := srv.options()
	o.KeepDir = dir
	c, err := Open("t", o)
	if err != nil {
		t.Fatal(err)
	}
	read(t, c, readingsTier)
	c.transport.CloseIdleConnections() // and no Close
	if len(srv.sessions) != 1 || srv.created != 1 {
		t.Fatalf("%d sessions, %d created", len(srv.sessions), srv.created)
	}
	return srv, dir
}

func keptFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSessionOfAKilledProcess(t *testing.T) {
	keepIn := func(dir string, more ...func(*Options)) func(*Options) {
		return func(o *Options) {
			o.KeepDir = dir
			for _, f := range more {
				f(o)
			}
		}
	}
	t.Run("is taken up, and deleted at the end", func(t *testing.T) {
		srv, dir := killed(t)
		info, err := os.Stat(keptFiles(t, dir)[0])
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the file: %v, %v", info.Mode(), err)
		}
		c := srv.open(t, keepIn(dir))
		for range 3 {
			read(t, c, readingsTier)
		}
		if srv.created != 1 || len(srv.sessions) != 1 || srv.basic != 0 {
			t.Errorf("%d sessions created, %d open, %d basic requests", srv.created, len(srv.sessions), srv.basic)
		}
		if err := c.Close(t.Context()); err != nil || len(srv.sessions) != 0 || len(keptFiles(t, dir)) != 0 {
			t.Errorf("close: %v, %d sessions, files %v", err, len(srv.sessions), keptFiles(t, dir))
		}
	})
	t.Run("has ended meanwhile", func(t *testing.T) {
		srv, dir := killed(t)
		clear(srv.sessions)
		c := srv.open(t, keepIn(dir))
		if s := read(t, c, readingsTier); len(missing(s)) > 0 {
			t.Errorf("gaps %+v", s.Gaps)
		}
		if srv.created != 2 || len(srv.sessions) != 1 || len(keptFiles(t, dir)) != 1 {
			t.Errorf("%d created, %d open, files %v", srv.created, len(srv.sessions), keptFiles(t, dir))
		}
	})
	for name, change := range map[string]func(*Options){
		"another password": func(o *Options) { o.Password = secret.New("wrong") },
		"another user":     func(o *Options) { o.Username = "operator" },
		"not verified now": func(o *Options) { o.TLS = TLS{Insecure: true} },
		"basic now":        func(o *Options) { o.Auth = AuthBasic },
	} {
		t.Run("is not used with "+name+", but deleted", func(t *testing.T) {
			srv, dir := killed(t)
			c := srv.open(t, keepIn(dir, change))
			_, _ = c.Read(t.Context(), readingsTier)
			if srv.deleted != 1 || srv.failed > 1 {
				t.Errorf("%d deleted, %d logins failed", srv.deleted, srv.failed)
			}
			if err := c.Close(t.Context()); err != nil || len(srv.sessions) != 0 || len(keptFiles(t, dir)) != 0 {
				t.Errorf("%v, %d sessions left, files %v", err, len(srv.sessions), keptFiles(t, dir))
			}
		})
	}
	t.Run("does not follow its target to another BMC", func(t *testing.T) {
		srv, dir := killed(t)
		other := newService(t, ownTree(t, "classic"))
		c := other.open(t, keepIn(dir))
		read(t, c, readingsTier)
		if srv.deleted != 1 || other.created != 1 || len(other.noAuth) != 0 {
			t.Errorf("%d deleted, %d created, refused %v", srv.deleted, other.created, other.noAuth)
		}
	})
	t.Run("is not sent to one who shows another certificate", func(t *testing.T) {
		srv, dir := killed(t)
		srv.reset()
		c := srv.open(t, keepIn(dir, func(o *Options) { o.TLS.Fingerprint = strings.Repeat("0", 64) }))
		if _, err := c.Read(t.Context(), readingsTier); health.ReasonFor(err) != health.ReasonTLS {
			t.Errorf("error %v", err)
		}
		if reqs, _ := srv.counts(); len(reqs) != 0 {
			t.Errorf("sent %v", reqs)
		}
	})
	t.Run("of a target that nobody reads any more is deleted", func(t *testing.T) {
		srv, dir := killed(t)
		EndKept(t.Context(), dir, func(id health.TargetID) bool { return id == "t" }, slog.New(slog.DiscardHandler))
		if srv.deleted != 0 || len(keptFiles(t, dir)) != 1 {
			t.Errorf("wanted, and %d deleted", srv.deleted)
		}
		EndKept(t.Context(), dir, func(health.TargetID) bool { return false }, slog.New(slog.DiscardHandler))
		if srv.deleted != 1 || len(keptFiles(t, dir)) != 0 {
			t.Errorf("%d deleted, files %v", srv.deleted, keptFiles(t, dir))
		}
	})
	t.Run("of a BMC that does not answer is kept for a day", func(t *testing.T) {
		srv, dir := killed(t)
		srv.Server.Close()
		never := func(health.TargetID) bool { return false }
		EndKept(t.Context(), dir, never, slog.New(slog.DiscardHandler))
		path := keptFiles(t, dir)[0]
		k, err := readKept(path)
		if err != nil {
			t.Fatal(err)
		}
		k.Created = k.Created.Add(-25 * time.Hour)
		b, _ := json.Marshal(k)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		EndKept(t.Context(), dir, never, slog.New(slog.DiscardHandler))
		if files := keptFiles(t, dir); len(files) != 0 {
			t.Errorf("files %v", files)
		}
	})
	for name, text := range map[string]string{
		"that is no JSON":           "\x00\x01",
		"of another version":        `{"v":2,"target":"t","uri":"/redfish/v1/SessionService/Sessions/1","token":"x"}`,
		"with a token of two lines": `{"v":1,"target":"t","uri":"/redfish/v1/SessionService/Sessions/1","token":"x\r\ny"}`,
		"that leads elsewhere":      `{"v":1,"target":"t","address":"https://192.0.2.1","uri":"https://192.0.2.1/redfish/v1/x","token":"x"}`,
	} {
		t.Run("in a file "+name, func(t *testing.T) {
			srv, dir := killed(t)
			path := keptFiles(t, dir)[0]
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			c := srv.open(t, keepIn(dir))
			if s := read(t, c, readingsTier); len(missing(s)) > 0 || srv.created != 2 {
				t.Errorf("%d created, gaps %+v", srv.created, s.Gaps)
			}
			if k, err := readKept(path); err != nil || k.Token != "token-2" {
				t.Errorf("the new session is not written down: %v", err)
			}
		})
	}
	t.Run("others could read the file", func(t *testing.T) {
		srv, dir := killed(t)
		if err := os.Chmod(keptFiles(t, dir)[0], 0o644); err != nil {
			t.Fatal(err)
		}
		c := srv.open(t, keepIn(dir))
		read(t, c, readingsTier)
		if info, err := os.Stat(keptFiles(t, dir)[0]); err != nil || info.Mode().Perm() != 0o600 || srv.created != 2 {
			t.Errorf("%v, %v, %d created", info.Mode(), err, srv.created)
		}
	})
	t.Run("a folder that cannot be made costs nothing but the note", func(t *testing.T) {
		srv := newService(t, ownTree(t, "classic"))
		c := srv.open(t, keepIn(filepath.Join(t.TempDir(), "not", "there")))
		if s := read(t, c, readingsTier); len(missing(s)) > 0 {
			t.Errorf("gaps %+v", s.Gaps)
		}
	})
	t.Run("holds neither user nor password", func(t *testing.T) {
		_, dir := killed(t)
		b, err := os.ReadFile(keptFiles(t, dir)[0])
		if err != nil || strings.Contains(string(b), testPassword) || strings.Contains(string(b), testUser) || !strings.Contains(string(b), "token-1") {
			t.Errorf("%s, %v", b, err)
		}
	})
}

// A BMC that cannot be reached when dewline stops keeps its session, and so its file: the next start takes it up.
func TestLogoutThatFailsKeepsTheFile(t *testing.T) {
	srv, dir := newService(t, ownTree(t, "classic")), filepath.Join(t.TempDir(), "sessions")
	o := func(o *Options) { o.KeepDir = dir }
	c := srv.open(t, o)
	read(t, c, readingsTier)
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	if err := c.Close(t.Context()); err == nil || len(keptFiles(t, dir)) != 1 {
		t.Fatalf("close: %v, files %v", err, keptFiles(t, dir))
	}
	srv.onRequest(nil)
	c = srv.open(t, o)
	read(t, c, readingsTier)
	if srv.created != 1 || len(srv.sessions) != 1 {
		t.Errorf("%d created, %d open", srv.created, len(srv.sessions))
	}
}

// A visit that is stopped while its login is on the way must not leave a session that nobody has the token of.
func TestLoginOfAStoppedVisit(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			srv.serve(w, r) // the session is there
			cancel()
			time.Sleep(50 * time.Millisecond) // and its answer still on the way
			return true
		}
		return false
	})
	if _, err := c.Read(ctx, readingsTier); health.ReasonFor(err) != health.ReasonStopped {
		t.Errorf("error %v", err)
	}
	if err := c.Close(t.Context()); err != nil || srv.created != 1 || len(srv.sessions) != 0 {
		t.Errorf("close: %v, %d created, %d left", err, srv.created, len(srv.sessions))
	}
}

// A hung BMC must not hold up a stop: there is no connection that a login could have gone over.
func TestStopDoesNotWaitForAHungBMC(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	c := srv.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan struct{})
	srv.onRequest(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client has gone
		close(entered)
		<-r.Context().Done()
		return true
	})
	go func() {
		<-entered
		cancel()
	}()
	began := time.Now()
	_, err := c.Read(ctx, readingsTier)
	if took := time.Since(began); health.ReasonFor(err) != health.ReasonStopped || took > 2*loginGrace {
		t.Errorf("after %v: %v", took, err)
	}
}

func TestLoginMarkTellsLittle(t *testing.T) {
	marks := map[string]bool{}
	for i := range 20 {
		m := loginMark(&Options{Username: "u", Password: secret.New(fmt.Sprint(i))})
		if len(m) != 4 {
			t.Fatalf("mark %q", m)
		}
		marks[m] = true
	}
	if len(marks) < 15 {
		t.Errorf("%d marks of 20 passwords", len(marks))
	}
}
