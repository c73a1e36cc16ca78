package influx

import (
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

// rejectWhole422 stands for a server that stores nothing of a batch in which a line holds bad, and does not say which.
func rejectWhole422(bad string) func([]string) reply {
	return func(lines []string) reply {
		for _, l := range lines {
			if strings.Contains(l, bad) {
				return says(422, `{"code":"unprocessable entity","message":"failure writing points to database"}`)
			}
		}
		return reply{}
	}
}

func TestBadPointsStandAloneInQuarantine(t *testing.T) {
	isBad := func(l string) bool {
		return strings.Contains(l, "speed_rpm=13,") || strings.Contains(l, "speed_rpm=77,")
	}
	for _, c := range []struct {
		name   string
		status int
		body   func(bad int) string
		stores bool // the good points of a refused batch
		most   int  // requests
	}{
		{"422, nothing stored, no word which", 422, func(int) string { return `{"code":"unprocessable entity","message":"no"}` }, false, 120},
		{
			"400 of 2.x: one line does not parse, nothing stored", 400,
			func(int) string {
				return `{"code":"invalid","message":"unable to parse 'hw_fan': invalid field format"}`
			}, false, 60,
		},
		{
			"422 of 2.x: a field of another type, the good ones stored", 422,
			func(n int) string {
				return fmt.Sprintf(`{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"speed_rpm\" on measurement \"hw_fan\" is type float, already exists as type integer dropped=%d"}`, n)
			}, true, 60,
		},
		{
			"400 of 1.8: points before the retention period, the good ones stored", 400,
			func(n int) string {
				return fmt.Sprintf(`{"error":"partial write: points beyond retention policy dropped=%d"}`, n)
			}, true, 60,
		},
		{
			"400 of 3.x, with an array of errors", 400,
			func(int) string {
				return `{"error":"partial write of line protocol occurred","data":[{"line_number":2}]}`
			}, true, 60,
		},
		{
			"400 in words not known, from a server that takes an empty write", 400,
			func(int) string { return `{"error":"the moon is in the wrong place"}` }, false, 120,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(nil)
				f.judge = func(lines []string) reply {
					var good []string
					for _, l := range lines {
						if !isBad(l) {
							good = append(good, l)
						}
					}
					if len(good) == len(lines) {
						return reply{}
					}
					if c.stores {
						f.store(good)
					}
					return says(c.status, c.body(len(lines)-len(good)))
				}
				m := memoryOf(t, 100)
				s, out := newSink(t, options(), m, f)
				run(t, s)
				time.Sleep(time.Minute)
				synctest.Wait()

				var want, bad []string
				for _, v := range m.Visits() {
					for _, l := range Encode(v, target()) {
						if isBad(l) {
							bad = append(bad, l)
						} else {
							want = append(want, l)
						}
					}
				}
				var got, aside []string
				for _, l := range f.points {
					got = append(got, l)
				}
				for _, r := range m.Rejected(DefaultName) {
					aside = append(aside, r.Line)
					if r.Error == "" || r.Seq != 14 && r.Seq != 78 {
						t.Errorf("quarantined as %+v", r)
					}
				}
				sameLines(t, got, want)
				sameLines(t, aside, bad)
				if len(bad) != 2 || cursor(t, m) != 100 {
					t.Errorf("%d bad ones, cursor %d", len(bad), cursor(t, m))
				}
				if st := s.State(); st.Delivered != 198 || st.Quarantined != 2 || st.LastError != "" {
					t.Errorf("state %+v", st)
				}
				if out.count("quarantine") != 1 {
					t.Errorf("it must be said once:\n%s", out)
				}
				if _, n := f.count(); n > c.most {
					t.Errorf("%d requests", n)
				}
			})
		})
	}
}

// A field that someone else has written with another type is refused for ever: that must not cost a search for each point.
func TestAFieldThatIsAlwaysRefusedCostsFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(nil)
		f.judge = func(lines []string) reply {
			n := 0
			for _, l := range lines {
				if strings.HasPrefix(l, "hw_fan,") {
					n++
				}
			}
			if n == 0 {
				return reply{}
			}
			return says(400, fmt.Sprintf(`{"error":"partial write: field type conflict: input field \"speed_rpm\" on measurement \"hw_fan\" is type float, already exists as type integer dropped=%d"}`, n))
		}
		m := memoryOf(t, 128)
		s, out := newSink(t, options(), m, f)
		run(t, s)
		synctest.Wait()
		if points, writes := f.count(); points != 128 || writes > 3 || len(m.Rejected(DefaultName)) != 128 || cursor(t, m) != 128 {
			t.Errorf("%d points in %d writes, %d in quarantine", points, writes, len(m.Rejected(DefaultName)))
		}
		for i := 128; i < 300; i++ {
			record(t, m, simple(i))
			synctest.Wait()
		}
		if out.count("WARN") != 1 {
			t.Errorf("it must be said once:\n%s", out)
		}
	})
}

func TestABatchTooLargeIsDividedAndLaterOnesAreSmaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		f := newFake(func(lines []string) reply {
			if len(lines) > 40 {
				refused++
				return says(413, `{"error":"Request Entity Too Large"}`)
			}
			return reply{}
		})
		m := memoryOf(t, 1000)
		s, _ := newSink(t, options(), m, f)
		run(t, s)
		time.Sleep(time.Minute)
		synctest.Wait()
		if points, _ := f.count(); points != 2000 || cursor(t, m) != 1000 || len(m.Rejected(DefaultName)) != 0 {
			t.Errorf("%d points, cursor %d", points, cursor(t, m))
		}
		if refused > 20 {
			t.Errorf("%d batches were too large", refused)
		}
	})
}

func TestAServerThatGoesDownWhileABatchIsDivided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		reject := rejectWhole422("speed_rpm=5")
		f := newFake(func(lines []string) reply {
			if rng.IntN(2) == 0 {
				return reply{err: errRefusedConnection}
			}
			return reject(lines)
		})
		m := memoryOf(t, 60) // 5 and 50 to 59 are bad
		s, _ := newSink(t, options(), m, f)
		run(t, s)
		time.Sleep(12 * time.Hour)
		synctest.Wait()
		if points, _ := f.count(); points != 109 || len(m.Rejected(DefaultName)) != 11 || cursor(t, m) != 60 {
			t.Errorf("%d points, %d in quarantine, cursor %d", points, len(m.Rejected(DefaultName)), cursor(t, m))
		}
	})
}

// Over a real socket: the client, its compression, redirects, time-outs, connections that break.
func TestOverARealSocket(t *testing.T) {
	n := 0
	f := newFake(func([]string) reply {
		n++
		switch n {
		case 1:
			return says(301, "", "Location", "/elsewhere")
		case 2:
			return reply{err: errRefusedConnection} // the handler breaks the connection
		case 3:
			return reply{hang: true}
		case 4:
			return says(200, strings.Repeat("<p>", 1<<20))
		}
		return reply{}
	})
	o := options()
	o.URL, o.Timeout = f.serve(t).URL+"/behind/a/proxy", 200*time.Millisecond
	m := memoryOf(t, 10)
	s, _ := newSink(t, o, m, nil)
	s.back = backoff{time.Millisecond, 5 * time.Millisecond}
	run(t, s)
	until(t, func() bool { return cursor(t, m) == 10 })
	if points, _ := f.count(); points != 20 {
		t.Errorf("%d points", points)
	}
	for _, p := range f.paths {
		if !strings.HasPrefix(p, "/behind/a/proxy/api/v2/write?") {
			t.Errorf("path %s", p)
		}
	}
}

// Following a redirect would turn the write into a GET (302), or send the points to wherever the answer says (307).
func TestARedirectIsNotFollowed(t *testing.T) {
	for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					w.WriteHeader(http.StatusNoContent)
					return
				}
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}))
			t.Cleanup(srv.Close)
			o := options()
			o.URL = srv.URL
			m := memoryOf(t, 1)
			s, _ := newSink(t, o, m, nil)
			run(t, s)
			until(t, func() bool { return s.State().LastError != "" || cursor(t, m) > 0 })
			if st := s.State(); !strings.Contains(st.LastError, "redirected to /elsewhere") || st.Delivered != 0 || cursor(t, m) != 0 {
				t.Errorf("state %+v", st)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	f := newFake(nil)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := f.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.WriteHeader(resp.StatusCode)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	ca, empty := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "empty.pem")
	writeFile(t, ca, pemOf(srv.Certificate().Raw))
	writeFile(t, empty, "no certificate")
	for _, c := range []struct {
		name string
		o    Options
		err  string
	}{
		{"an authority that is not known is refused", Options{}, "ca_file"},
		{"with its authority", Options{CAFile: ca}, ""},
		{"any certificate", Options{Insecure: true}, ""},
		{"a file that is not there", Options{CAFile: filepath.Join(dir, "none.pem")}, "no such file"},
		{"a file without a certificate", Options{CAFile: empty}, "holds no certificate"},
		{"http where https is spoken", Options{URL: strings.Replace(srv.URL, "https", "http", 1)}, "400 Bad Request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.o
			if o.URL == "" {
				o.URL = srv.URL
			}
			o.Bucket = "hardware"
			s, _ := newSink(t, o, storetest.NewMemory(), nil)
			err := s.Check(t.Context())
			switch {
			case c.err == "" && err != nil:
				t.Errorf("got %v", err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("got %v, want %q in it", err, c.err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply reply
		err   string
	}{
		{"all is well", reply{}, ""},
		{"2.x finds nothing to write", says(400, `{"code":"invalid","message":"writing requires points"}`), ""},
		{"1.8 answers an empty write with 200", says(200, "", "X-Influxdb-Version", "1.8.10"), ""},
		{"a wrong token", says(401, `{"message":"unauthorized access"}`), `401 Unauthorized: unauthorized access (check token`},
		{"no bucket", says(404, `{"message":"bucket \"hardware\" not found"}`), "404"},
		{"no server", reply{err: errRefusedConnection}, "connection refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(func([]string) reply { return c.reply })
			s, _ := newSink(t, options(), storetest.NewMemory(), f)
			err := s.Check(t.Context())
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want %q in it", err, c.err)
			}
			if reason := map[string]health.Reason{"a wrong token": health.ReasonDenied, "no bucket": health.ReasonNotFound, "no server": health.ReasonUnreachable}[c.name]; err != nil && health.ReasonFor(err) != reason {
				t.Errorf("reason %s, want %s", health.ReasonFor(err), reason)
			}
			if points, writes := f.count(); points != 0 || writes != 1 {
				t.Errorf("%d points in %d writes", points, writes)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	const password = "hunter2-in-a-url"
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"no url", Options{Bucket: "b"}},
		{"a url without a scheme", Options{URL: "localhost:8086", Bucket: "b"}},
		{"a url of another scheme", Options{URL: "ftp://localhost", Bucket: "b"}},
		{"a url with credentials", Options{URL: "http://u:" + password + "@localhost", Bucket: "b"}},
		{"a url that cannot be read", Options{URL: "http://u:" + password + "@local host:%zz", Bucket: "b"}},
		{"a url with a query", Options{URL: "http://localhost/?bucket=b", Bucket: "b"}},
		{"no bucket", Options{URL: "http://localhost:8086"}},
		{"a negative batch", Options{URL: "http://localhost:8086", Bucket: "b", BatchLines: -1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := New(c.o, storetest.NewMemory(), known)
			if s != nil || err == nil || strings.Contains(err.Error(), password) {
				t.Errorf("got %v, %v", s, err)
			}
		})
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(400, []byte(`{"error":"partial write: field type conflict: input field \"v\" on measurement \"hw_fan\" is type string, already exists as type float dropped=1"}`), "", "")
	f.Add(422, []byte(`{"code":"unprocessable entity","message":"partial write: dropped=99999999999999999999"}`), "", "10")
	f.Add(429, []byte(`<html>`), "slow down", "Wed, 21 Oct 2095 07:28:00 GMT")
	f.Add(503, []byte("\xff\x00\n"), "", "-1")
	f.Add(301, []byte(nil), "", "99999999999999999999")
	f.Fuzz(func(t *testing.T, status int, body []byte, header, retry string) {
		h := http.Header{"Retry-After": {retry}, "X-Influxdb-Error": {header}, "Location": {header}}
		fail := judgeAnswer(answer{status, h, body})
		if (fail == nil) != (status == http.StatusNoContent) {
			t.Fatalf("status %d: %v", status, fail)
		}
		if fail == nil {
			return
		}
		if len(fail.text) > health.MaxText+100 || strings.ContainsAny(fail.text, "\n\x00") {
			t.Errorf("text %q", fail.text)
		}
		if fail.retryAfter < 0 || fail.retryAfter > mostRetryAfter {
			t.Errorf("retry after %v", fail.retryAfter)
		}
		if (fail.verdict == refused || fail.verdict == oversize) && status != 400 && status != 422 && status != 413 {
			t.Errorf("status %d blames the points", status)
		}
		pts := []point{{line: "hw_fan,a=b x=1 1", seq: 1}, {line: "hw_psu,a=b x=1 1", seq: 1}, {line: "hw_fan,a=b y=1 1", seq: 2}}
		a, b := divide(pts, fail)
		if len(a) == 0 || len(b) == 0 || len(a)+len(b) != len(pts) {
			t.Errorf("divided into %d and %d", len(a), len(b))
		}
		if n := dropped(fail.text); n < 0 {
			t.Errorf("dropped %d", n)
		}
	})
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
