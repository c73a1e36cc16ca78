package push_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"dewline/collector"
	"dewline/collector/push"
	"dewline/health"
	"dewline/internal/secret"
	"dewline/store/storetest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const token = "correct-horse"

type world struct {
	store  *storetest.Memory
	now    time.Time
	rate   float64
	input  *push.Input
	server http.Handler
}

var room = push.Probe{
	Target: health.Target{ID: "room-1", Driver: push.Driver, Address: "push:", Rack: "A1"},
	Sensors: []push.Sensor{
		{Name: "room", Quantity: push.Humidity, Measurement: "pdu", Field: "humidity", Tags: map[string]string{"source": "10.0.0.9"}, Scale: 0.1},
		{Name: "room", Quantity: push.Temperature, Measurement: "pdu", Field: "temperature", Tags: map[string]string{"source": "10.0.0.9"}, Scale: 0.1},
		{Name: "rope", Quantity: push.Leak, Measurement: "pdu", Field: "leak", Wet: []string{"2", "wet"}, Dry: []string{"1", "dry"}},
	},
}

func newWorld(t testing.TB) *world {
	w := &world{store: storetest.NewMemory(), now: noon, rate: 1e6}
	w.start(t)
	return w
}

// start is a daemon that starts, with what the store holds.
func (w *world) start(t testing.TB) {
	c := collector.New(collector.Options{Recorder: w.store})
	var ref secret.Ref
	if err := ref.UnmarshalText([]byte(token)); err != nil {
		t.Fatal(err)
	}
	word, err := ref.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	w.input, err = push.New(push.Options{
		Token: word, Rate: w.rate, MaxAge: func() time.Duration { return 5 * time.Minute }, Record: w.store, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return w.now },
		Visit: func(ctx context.Context, t health.Target, known *health.Known, src push.Source, due map[health.Tier]time.Time, at time.Time) error {
			_, err := c.Visit(ctx, t, known, src, due, at)
			return err
		},
	}, []push.Probe{room})
	if err != nil {
		t.Fatal(err)
	}
	w.server = w.input.Handler()
}

func (w *world) post(path, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Authorization", "Token "+token)
	for _, c := range change {
		c(r)
	}
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, r)
	return rec
}

func (w *world) visits(t testing.TB) []*health.Visit {
	t.Helper()
	vs, err := w.store.After(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

func (w *world) faults(t testing.TB) (out []string) {
	t.Helper()
	k, err := w.store.Recall(t.Context(), "room-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range k.Faults {
		out = append(out, fmt.Sprintf("%s %s %s", f.Component, f.Kind, f.Severity))
	}
	slices.Sort(out)
	return out
}

func pdu(at time.Time, fields string) string {
	return fmt.Sprintf("pdu,source=10.0.0.9,host=x %s %d\n", fields, at.UnixNano())
}

func TestWhatIsPushedIsRecordedBeforeItIsAnswered(t *testing.T) {
	for name, path := range map[string]string{"as to InfluxDB 1.x": "/write?db=telegraf", "as to InfluxDB 2.x": "/api/v2/write?org=x&bucket=y&precision=ns"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if r := w.post(path, pdu(noon, "humidity=600i,temperature=250,leak=1i,uptime=7i")); r.Code != http.StatusNoContent {
				t.Fatalf("%d %s", r.Code, r.Body)
			}
			vs := w.visits(t)
			if len(vs) != 1 || !vs[0].At().Equal(noon) || vs[0].Target != "room-1" || vs[0].Driver != push.Driver || vs[0].Where.Rack != "A1" {
				t.Fatalf("%+v", vs)
			}
			got := map[string]float64{}
			for _, r := range vs[0].Snapshot.Readings {
				got[string(r.Component)+" "+string(r.Quantity)] = r.Value
			}
			if got["humidity/room relative_humidity"] != 60 || got["temperature/room temperature"] != 25 || fmt.Sprintf("%.3f", got["humidity/room dew_point"]) != "16.693" {
				t.Errorf("%v", got)
			}
			if f := w.faults(t); len(f) != 0 {
				t.Errorf("faults %q", f)
			}
		})
	}
}

func TestARepeatedWriteChangesNothing(t *testing.T) {
	w := newWorld(t)
	body := pdu(noon, "humidity=600i") + pdu(noon.Add(-20*time.Second), "humidity=590i")
	for i := range 3 {
		if i == 2 {
			w.start(t) // also over a restart
		}
		if r := w.post("/write", body); r.Code != http.StatusNoContent || (i > 0) != strings.Contains(r.Header().Get("X-Dewline-Ignored"), "2 no newer") {
			t.Fatalf("%d %s %v", r.Code, r.Body, r.Header())
		}
	}
	if vs := w.visits(t); len(vs) != 2 || vs[0].Snapshot.Readings[0].Value != 59 {
		t.Errorf("%d visits", len(vs))
	}
}

// telegraf may send what it gathered at one time in several requests.
func TestOneTimeInSeveralRequests(t *testing.T) {
	w := newWorld(t)
	for _, fields := range []string{"temperature=250i", "humidity=600i", "leak=2i"} {
		if r := w.post("/write", pdu(noon, fields)); r.Code != http.StatusNoContent {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	}
	if vs := w.visits(t); len(vs) != 3 {
		t.Errorf("%d visits", len(vs))
	}
	if got := w.faults(t); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

func TestBadRequestsGetPreciseErrorsAndRecordNothing(t *testing.T) {
	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	}
	header := func(k, v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set(k, v) } }
	good := pdu(noon, "humidity=600i")
	for name, c := range map[string]struct {
		path, body string
		change     func(*http.Request)
		status     int
		says       string
	}{
		"no token":                       {"/write", good, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "token of [input]"},
		"a wrong token":                  {"/write", good, header("Authorization", "Token "+token+"x"), 401, "token"},
		"an empty token":                 {"/write", good, header("Authorization", "Token "), 401, "token"},
		"the token in the URL":           {"/write?p=" + token, good, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "token"},
		"a line that is none":            {"/write", good + "pdu,source=10.0.0.9 humidity=\n", nil, 400, "line 2"},
		"a precision that is none":       {"/write?precision=fortnight", good, nil, 400, `\"fortnight\" is none of`},
		"an unknown encoding":            {"/write", good, header("Content-Encoding", "br"), 415, "neither gzip nor identity"},
		"no gzip":                        {"/write", good, header("Content-Encoding", "gzip"), 400, "no gzip"},
		"too large":                      {"/write", strings.Repeat("x", 1<<20+1), nil, 413, "fewer lines"},
		"too large once unpacked":        {"/write", zip(strings.Repeat(good, 1<<15)), header("Content-Encoding", "gzip"), 413, "fewer lines"},
		"too many lines":                 {"/write", strings.Repeat("a b=1\n", 6000), nil, 413, "6000 lines"},
		"nothing of a sensor":            {"/write", "cpu,host=x usage=1\n", nil, 400, "cpu,host=x with fields usage"},
		"another PDU":                    {"/write", strings.ReplaceAll(good, "10.0.0.9", "10.0.0.8"), nil, 400, "compare measurement, tags and field"},
		"a clock that is ahead":          {"/write", pdu(noon.Add(2*time.Minute), "humidity=600i"), nil, 422, "the sender's clock"},
		"nanoseconds called seconds":     {"/write?precision=s", pdu(noon, "humidity=600i"), nil, 400, "is `precision` right?"},
		"another method":                 {"/write", good, func(r *http.Request) { r.Method = "PUT" }, 405, ""},
		"another path":                   {"/query", good, nil, 404, ""},
		"a hostile line is kept bounded": {"/write", "cpu,host=\x1b[31m" + strings.Repeat("y", 5000) + " usage=1\n", nil, 400, `\\x1b`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change := c.change
			if change == nil {
				change = func(*http.Request) {}
			}
			r := w.post(c.path, c.body, change)
			if r.Code != c.status || !strings.Contains(r.Body.String(), c.says) || r.Body.Len() > 1500 {
				t.Errorf("%d %s", r.Code, r.Body)
			}
			if n := len(w.visits(t)); n != 0 {
				t.Errorf("%d visits were recorded", n)
			}
		})
	}
}

func TestTheTokenIsTakenInEveryWayTelegrafSendsIt(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"outputs.influxdb_v2": func(r *http.Request) { r.Header.Set("Authorization", "Token "+token) },
		"bearer":              func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		"outputs.influxdb":    func(r *http.Request) { r.SetBasicAuth("dewline", token) },
	} {
		if r := newWorld(t).post("/write", pdu(noon, "humidity=600i"), change); r.Code != http.StatusNoContent {
			t.Errorf("%s: %d %s", name, r.Code, r.Body)
		}
	}
}

func TestAStoreThatRefusesIsNotAnswered204(t *testing.T) {
	w := newWorld(t)
	w.store.Refuse(func(*health.Visit) error { return errors.New("disk full") })
	if r := w.post("/write", pdu(noon, "humidity=600i")); r.Code != http.StatusServiceUnavailable || r.Header().Get("Retry-After") == "" || strings.Contains(r.Body.String(), "disk") {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	w.store.Refuse(nil)
	if r := w.post("/write", pdu(noon, "humidity=600i")); r.Code != http.StatusNoContent || len(w.visits(t)) != 1 {
		t.Errorf("%d %s, %d visits", r.Code, r.Body, len(w.visits(t)))
	}
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	w := &world{store: storetest.NewMemory(), now: noon, rate: 1}
	w.start(t)
	codes := map[int]int{}
	for range 10 {
		codes[w.post("/write", pdu(noon, "humidity=600i")).Code]++
	}
	if codes[204] == 0 || codes[429] == 0 {
		t.Errorf("%v", codes)
	}
}

func TestALeakProbe(t *testing.T) {
	for value, want := range map[string][]string{
		"1i": nil, `"dry"`: nil, "1": nil,
		"2i":       {"leak_detector/rope leak_detected critical"},
		`"wet"`:    {"leak_detector/rope leak_detected critical"},
		"7i":       {"leak_detector/rope detector_fault warning"},
		`"broken"`: {"leak_detector/rope detector_fault warning"},
	} {
		w := newWorld(t)
		if r := w.post("/write", pdu(noon, "leak="+value)); r.Code != http.StatusNoContent {
			t.Fatalf("%s: %d %s", value, r.Code, r.Body)
		}
		if got := w.faults(t); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestAValueThatCannotBeIsNoReading(t *testing.T) {
	w := newWorld(t)
	w.post("/write", pdu(noon, `humidity=60000i,temperature="warm"`)) // 6000 %
	v := w.visits(t)[0]
	if len(v.Snapshot.Readings) != 0 || len(v.Snapshot.Gaps) != 2 {
		t.Errorf("%+v", v.Snapshot)
	}
	if got := w.faults(t); !slices.Equal(got, []string{"humidity/room detector_fault warning", "temperature/room detector_fault warning"}) {
		t.Errorf("%q", got)
	}
}

// What is not reported any more is a gap and a detector at fault, also after a restart, until it is reported again.
func TestSilenceIsNeverTheLastValue(t *testing.T) {
	w := newWorld(t)
	w.post("/write", pdu(noon, "humidity=600i,temperature=250i,leak=1i"))
	w.start(t)
	w.now = noon.Add(4 * time.Minute)
	push.Expire(t.Context(), w.input)
	if n := len(w.visits(t)); n != 1 {
		t.Fatalf("%d visits after four minutes", n)
	}
	w.post("/write", pdu(w.now, "humidity=610i,temperature=250i"))
	w.now = noon.Add(6 * time.Minute)
	for range 3 {
		push.Expire(t.Context(), w.input)
	}
	vs := w.visits(t)
	last := vs[len(vs)-1]
	if len(vs) != 3 || len(last.Snapshot.Gaps) != 1 || last.Snapshot.Gaps[0].Reason != health.ReasonStale || last.Snapshot.Components[0].State != health.Unknown {
		t.Fatalf("%d visits, the last: %+v", len(vs), last.Snapshot)
	}
	if got := w.faults(t); !slices.Equal(got, []string{"leak_detector/rope detector_fault warning"}) {
		t.Errorf("%q", got)
	}
	w.now = noon.Add(12 * time.Minute)
	push.Expire(t.Context(), w.input) // said again, of all three now
	if got := w.faults(t); len(got) != 3 {
		t.Errorf("%q", got)
	}
	if r := w.post("/write", pdu(w.now.Add(-6*time.Minute), "humidity=600i,leak=1i")); !strings.Contains(r.Header().Get("X-Dewline-Ignored"), "2 older than 5m0s") {
		t.Errorf("old news: %d %v", r.Code, r.Header())
	}
	if got := w.faults(t); len(got) != 3 {
		t.Errorf("old news cleared something: %q", got)
	}
	w.now = w.now.Add(time.Second)
	w.post("/write", pdu(w.now, "humidity=600i,temperature=250i,leak=1i"))
	if got := w.faults(t); len(got) != 0 {
		t.Errorf("reported again: %q", got)
	}
}

func TestWhatWasNeverReportedIsSaidToo(t *testing.T) {
	w := newWorld(t)
	w.now = noon.Add(6 * time.Minute)
	push.Expire(t.Context(), w.input)
	if got := w.faults(t); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

func TestHostileBodies(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.SampledFrom([]string{"pdu", ",", "source=", "10.0.0.9", " ", "humidity=", "1", "i", "\"", "\\", "\n", "=", "#", "NaN", "1e999", "\x00"})), func(p []string) string {
			return strings.Join(p, "")
		})).Draw(t, "body")
		if r := w.post("/write", body); r.Code != 204 && (r.Code < 400 || r.Code == 503) {
			t.Fatalf("%d %s", r.Code, r.Body)
		}
	})
}

// A sender that gathers sends a short alarm and its end together.
func TestALeakBetweenTwoDryReportsIsNotOvertaken(t *testing.T) {
	w := newWorld(t)
	w.post("/write", pdu(noon.Add(-60*time.Second), "leak=1i"))
	var batch strings.Builder
	for i, v := range []string{"1i", "2i", "1i", "7i", "1i"} {
		batch.WriteString(pdu(noon.Add(time.Duration(i-20)*time.Second), "leak="+v))
	}
	if r := w.post("/write", batch.String()); r.Code != http.StatusNoContent {
		t.Fatalf("%d %s", r.Code, r.Body)
	}
	if got := w.faults(t); !slices.Equal(got, []string{"leak_detector/rope leak_detected critical"}) {
		t.Errorf("%q", got)
	}
	n := len(w.visits(t))
	w.post("/write", batch.String()) // sent again
	if len(w.visits(t)) != n {
		t.Error("a repeated write was recorded")
	}
	w.post("/write", pdu(noon, "leak=1i"))
	if got := w.faults(t); len(got) != 0 {
		t.Errorf("dry again: %q", got)
	}
	told := map[health.Transition]int{}
	for _, v := range w.visits(t) {
		for _, e := range v.Events {
			if e.Kind == health.KindLeakDetected {
				told[e.Transition]++
			}
		}
	}
	if told[health.Asserted] != 1 || told[health.Cleared] != 1 {
		t.Errorf("%v", told)
	}
}

// Our clock was a day ahead, and is set right: what is reported from then on is news, and silence is silence.
func TestOurClockIsSetBack(t *testing.T) {
	for name, restart := range map[string]bool{"at work": false, "across a restart": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.now = noon.Add(24 * time.Hour)
			w.post("/write", pdu(w.now, "humidity=600i,temperature=250i,leak=1i"))
			w.now = w.now.Add(6 * time.Minute)
			push.Expire(t.Context(), w.input)
			w.now = w.now.Add(time.Second)
			w.post("/write", pdu(w.now, "humidity=600i,temperature=250i,leak=1i"))
			w.now = noon
			if restart {
				w.start(t)
			}
			if r := w.post("/write", pdu(noon, "leak=2i")); r.Header().Get("X-Dewline-Ignored") != "" {
				t.Errorf("ignored: %v", r.Header())
			}
			if got := w.faults(t); !slices.Equal(got, []string{"leak_detector/rope leak_detected critical"}) {
				t.Errorf("%q", got)
			}
			w.now = noon.Add(6 * time.Minute)
			push.Expire(t.Context(), w.input)
			if got := w.faults(t); len(got) != 4 {
				t.Errorf("silent: %q", got)
			}
		})
	}
}

// What a probe sends as a value is in what is told of it, in whole runes.
func TestALongOddValueIsCutWithinTheRules(t *testing.T) {
	w := newWorld(t)
	w.post("/write", pdu(noon, `leak="`+strings.Repeat("é\x1b[31m", 4000)+`"`))
	k, err := w.store.Recall(t.Context(), "room-1")
	if err != nil {
		t.Fatal(err)
	}
	if len(k.Faults) != 1 {
		t.Fatalf("%d faults", len(k.Faults))
	}
	for _, f := range k.Faults {
		for _, s := range append(f.Evidence, f.Message, k.Components[f.Component].Status) {
			if !utf8.ValidString(s) || len(s) > health.MaxText {
				t.Errorf("%d bytes, %.60q", len(s), s)
			}
		}
	}
}
