package influx

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/store/influx/influxtest"
)

// answering is a reader of a server that does what each request in turn is to be answered with; the last answers all further ones.
func answering(t *testing.T, o Options, answers ...http.HandlerFunc) (*Reader, *atomic.Int64) {
	t.Helper()
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1)) - 1
		answers[min(n, len(answers)-1)](w, r)
	}))
	t.Cleanup(srv.Close)
	o.URL = srv.URL
	if o.Bucket == "" {
		o.Bucket = "hardware/autogen"
	}
	r, err := NewReader(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.back = backoff{time.Millisecond, time.Millisecond}
	return r, &asked
}

func with(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
}

const fourRows = `{"results":[{"statement_id":0,"series":[{"name":"m","tags":{"tier":"events"},"columns":["time","a","b"],"values":[[1,2.5,null],[2,-3e2,"x\"y"]],"partial":true}],"partial":true}]}
{"results":[{"statement_id":0,"series":[{"name":"m","tags":{"tier":"events"},"columns":["time","a","b"],"values":[[3,true,false],[1795417200123456789,0,"é"]]}]}]}
{"results":[{"statement_id":1}]}
`

func TestAnswersOfAQuery(t *testing.T) {
	t.Parallel()
	var form map[string][]string
	r, _ := answering(t, Options{Token: secret.New("reader:pass word")}, func(w http.ResponseWriter, req *http.Request) {
		if err := req.ParseForm(); err != nil {
			t.Error(err)
		}
		form = req.Form
		if user, password, _ := req.BasicAuth(); user != "reader" || password != "pass word" {
			t.Errorf("authorization %q", req.Header.Get("Authorization"))
		}
		fmt.Fprint(w, fourRows)
	})
	var got []cell
	if err := r.ask(t.Context(), []string{"SELECT 1", "SELECT 2"}, func() { got = nil }, func(n int, s *rows) error {
		for _, row := range s.Values {
			got = append(got, row...)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []cell{
		{num: 1, whole: 1}, {num: 2.5}, {null: true}, {num: 2, whole: 2}, {num: -300}, {text: `x"y`},
		{num: 3, whole: 3}, {num: 1, whole: 1}, {}, {num: 1795417200123456789, whole: 1795417200123456789}, {}, {text: "é"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(cell{})); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	for k, v := range map[string]string{"db": "hardware", "rp": "autogen", "epoch": "ns", "chunked": "true", "q": "SELECT 1; SELECT 2"} {
		if len(form[k]) != 1 || form[k][0] != v {
			t.Errorf("%s = %q, want %q", k, form[k], v)
		}
	}
}

func TestWhatAQueryIsRefusedWith(t *testing.T) {
	t.Parallel()
	hijacked := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n%s", body)
			c.Close()
		}
	}
	for _, c := range []struct {
		name    string
		answers []http.HandlerFunc
		says    []string // nil: it succeeds
		asked   int64
	}{
		{"a token that is not known", []http.HandlerFunc{with(401, `{"error":"authorization failed"}`)}, []string{"401 Unauthorized: authorization failed", "check token", "http://127.0.0.1"}, 1},
		{"a token that may not read", []http.HandlerFunc{with(403, `{"error":"user may not"}`)}, []string{"403 Forbidden", "must be allowed to read"}, 1},
		{"a server without InfluxQL", []http.HandlerFunc{with(404, `404 page not found`)}, []string{"404 Not Found", "check url and bucket"}, 1},
		{"a database that is not there", []http.HandlerFunc{with(200, `{"results":[{"statement_id":0,"error":"database not found: hardware"}]}`)}, []string{"database not found: hardware", "check bucket"}, 1},
		{"a retention policy that is not there", []http.HandlerFunc{with(200, `{"results":[{"statement_id":0,"error":"retention policy not found: autogen"}]}`)}, []string{"check bucket"}, 1},
		{"a query it does not understand", []http.HandlerFunc{with(400, `{"error":"error parsing query: found X"}`)}, []string{"400 Bad Request: error parsing query"}, 1},
		{"a redirect", []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere/", http.StatusFound)
		}}, []string{"redirected to https://elsewhere/"}, 1},
		{"a page", []http.HandlerFunc{with(200, `<html>welcome</html>`)}, []string{"none of InfluxDB's", "check url"}, 1},
		{"rows that are no rows", []http.HandlerFunc{with(200, `{"results":[{"series":[{"values":[[{}]]}]}]}`)}, []string{"none of InfluxDB's"}, 1},
		{"an answer that the server cuts off", []http.HandlerFunc{with(200, strings.SplitAfter(fourRows, "\n")[0])}, []string{"cut off", "max-row-limit"}, 1},
		{"an answer that ends before its last statement, and then not", []http.HandlerFunc{with(200, strings.Join(strings.SplitAfter(fourRows, "\n")[:2], "")), with(200, fourRows)}, nil, 2},
		{"an answer that always ends before its last statement", []http.HandlerFunc{with(200, strings.Join(strings.SplitAfter(fourRows, "\n")[:2], ""))}, []string{"of 2 statements only 1 were answered"}, maxTries},
		{"an answer of nothing", []http.HandlerFunc{with(200, ``)}, []string{"of 2 statements only 0 were answered"}, maxTries},
		{"an error after rows", []http.HandlerFunc{with(200, strings.SplitAfter(fourRows, "\n")[0]+`{"results":[{"statement_id":0,"error":"max-select-series limit exceeded: (12/10)"}]}`)}, []string{"max-select-series limit exceeded", "[coordinator]"}, 1},
		{"a server that has its queries for now", []http.HandlerFunc{with(200, `{"results":[{"statement_id":0,"error":"max-concurrent-queries limit exceeded(2, 2)"}]}`), with(200, fourRows)}, nil, 2},
		{"a server that always has its queries", []http.HandlerFunc{with(200, `{"results":[{"statement_id":0,"error":"max-concurrent-queries limit exceeded(2, 2)"}]}`)}, []string{"max-concurrent-queries", "[coordinator]"}, maxTries},
		{"a query that takes too long", []http.HandlerFunc{with(200, `{"results":[{"statement_id":0,"error":"query-timeout limit exceeded"}]}`)}, []string{"query-timeout", "[coordinator]"}, 1},
		{"an echo of the password", []http.HandlerFunc{with(401, `{"error":"no user reader:opensesame"}`)}, []string{"***"}, 1},
		{"a server that is busy, and then not", []http.HandlerFunc{with(503, ``), with(429, ``), with(200, fourRows)}, nil, 3},
		{"a server that stays away", []http.HandlerFunc{with(502, `bad gateway`)}, []string{"502 Bad Gateway"}, maxTries},
		{"a connection that breaks in the answer, and then not", []http.HandlerFunc{hijacked(fourRows[:250]), with(200, fourRows)}, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, asked := answering(t, Options{Token: secret.New("reader:opensesame")}, c.answers...)
			n := 0
			err := r.ask(t.Context(), []string{"q", "p"}, func() { n = 0 }, func(_ int, s *rows) error { n += len(s.Values); return nil })
			switch {
			case c.says == nil && (err != nil || n != 4):
				t.Errorf("%d rows, %v", n, err)
			case c.says != nil && err == nil:
				t.Error("it succeeds")
			}
			for _, s := range c.says {
				if err != nil && !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			if err != nil && strings.Contains(err.Error(), "opensesame") {
				t.Errorf("the password stands in %q", err)
			}
			if asked.Load() != c.asked {
				t.Errorf("asked %d times, want %d", asked.Load(), c.asked)
			}
		})
	}
}

func TestAServerThatFallsSilentIsLeft(t *testing.T) {
	t.Parallel()
	r, _ := answering(t, Options{Timeout: 20 * time.Millisecond}, func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, `{"results":[`)
		w.(http.Flusher).Flush()
		<-req.Context().Done()
	})
	err := r.ask(t.Context(), []string{"q"}, func() {}, func(int, *rows) error { return nil })
	if f, ok := errors.AsType[*failure](err); !ok || f.kind != "timeout" || !strings.Contains(err.Error(), "no answer within 60ms") {
		t.Errorf("%v", err)
	}
}

func TestAnAnswerWithoutEndIsLeft(t *testing.T) {
	t.Parallel()
	r, asked := answering(t, Options{}, func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, `{"results":[{"series":[{"name":"`)
		for req.Context().Err() == nil {
			if _, err := fmt.Fprint(w, strings.Repeat("x", 1<<20)); err != nil {
				return
			}
		}
	})
	err := r.ask(t.Context(), []string{"q"}, func() {}, func(int, *rows) error { return nil })
	if err == nil || !strings.Contains(err.Error(), errTooLarge.Error()) || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
}

func FuzzTable(f *testing.F) {
	for _, s := range []string{`[[1,2.5,null],["a\"]",true]]`, `[]`, `[[]]`, `[[{}]]`, `[1]`, ` [ [ -0.5e3 , "" ] ] `, `{"a":[[1]]}`, `null`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var x table
		if err := json.Unmarshal([]byte(s), &x); err != nil {
			return
		}
		for _, row := range x {
			if len(row) > len(s) {
				t.Fatalf("%d cells of %q", len(row), s)
			}
		}
	})
}

func TestFaultsOfEventsThatTellLittle(t *testing.T) {
	at := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Minute) }
	e := func(n int, id, fault string, tr health.Transition, s health.Severity) health.Event {
		return health.Event{ID: id, FaultID: fault, Target: "a", Component: "psu/1", Kind: health.KindFailed, Transition: tr, Severity: s, At: at(n)}
	}
	got := FaultsOf([]health.Event{
		e(0, "m", "", health.Momentary, health.SeverityCritical),
		e(1, "old", "", health.Cleared, health.SeverityWarning), // began before there was anything
		e(2, "x", "", health.Asserted, health.SeverityWarning),  // as earlier versions wrote them: no fault_id
		e(3, "y", "", health.Escalated, health.SeverityCritical),
		e(4, "z", "", health.Cleared, health.SeverityCritical),
		e(5, "p", "p", health.Asserted, health.SeverityWarning),
		e(6, "q", "q", health.Asserted, health.SeverityCritical),
		e(7, "r", "p", health.Cleared, health.SeverityWarning),
	})
	var said []string
	for _, f := range got {
		said = append(said, fmt.Sprint(f.ID, " ", f.Severity, " ", f.State, " ", f.Opened.Sub(t0), " ", f.Closed()))
	}
	want := []string{"old warning cleared 1m0s true", "x critical cleared 2m0s true", "p warning cleared 5m0s true", "q critical asserted 6m0s false"}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

func TestRealReaderIsLetInOrNot(t *testing.T) {
	t.Parallel()
	srv := influxtest.StartAuthenticated(t, "admin", "s3cret word")
	srv.Query("", `CREATE DATABASE hardware`)
	srv.Query("", `CREATE USER "reader" WITH PASSWORD 'p w:1'`)
	srv.Query("", `GRANT READ ON hardware TO "reader"`)
	srv.Write("hardware", "hw_visit,target=it's\\ \"a\",tier=readings,result=done ticks=1 1795417200123456789\nhw_fan,target=it's\\ \"a\",component=fan/1,site=s state=0i,speed_rpm=7 1795417200123456789")
	for _, c := range []struct{ token, bucket, says string }{
		{"reader:p w:1", "hardware/autogen", ""},
		{"reader:wrong", "hardware/autogen", "401"},
		{"", "hardware/autogen", "401"},
		{"admin:s3cret word", "nothing/autogen", "database not found"},
		{"admin:s3cret word", "hardware/never", "retention policy not found"},
	} {
		r, err := NewReader(Options{URL: srv.URL, Bucket: c.bucket, Token: secret.New(c.token), Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		var hours []*health.HourFacts
		err = r.Hours(t.Context(), `it's "a"`, time.Time{}, time.Time{}, func(h *health.HourFacts) error { hours = append(hours, h); return nil })
		r.Close()
		if c.says == "" {
			if err != nil || len(hours) != 1 || len(hours[0].Series) != 1 || hours[0].Series[0].Median != 7 || hours[0].Power.Unknown != 1 {
				t.Errorf("%s: %+v, %v", c.token, hours, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s of %s: %v, want %q", c.token, c.bucket, err, c.says)
		}
	}
}
