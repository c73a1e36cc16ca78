package influx

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/store/influx/influxtest"
)

// standIn answers what a review asks, of two servers and a day, as InfluxDB does: each statement by itself, in order.
func standIn(w http.ResponseWriter, r *http.Request) {
	noon := t0.Truncate(24 * time.Hour).Add(12 * time.Hour).UnixNano()
	for n, q := range strings.Split(r.PostFormValue("q"), "; ") {
		series := func(name, tags, columns string, values ...string) string {
			return fmt.Sprintf(`{"name":%q,"tags":{%s},"columns":[%s],"values":[%s]}`, name, tags, columns, strings.Join(values, ","))
		}
		var out []string
		for _, id := range []string{"a", "b"} {
			tags := fmt.Sprintf(`"target":%q`, id)
			at := func(v string) string { return fmt.Sprintf("[%d,%s]", noon, v) }
			switch {
			case strings.HasPrefix(q, "SHOW MEASUREMENTS"):
				out = []string{series("measurements", "", `"name"`, `["hw_visit"],["hw_psu"],["hw_event"]`)}
			case strings.HasPrefix(q, "SHOW FIELD KEYS"):
				out = []string{series("hw_psu", "", `"fieldKey","fieldType"`, `["input_power_watts","float"]`)}
			case strings.HasPrefix(q, "SHOW TAG VALUES"):
				out = append(out, series("hw_event", "", `"key","value"`, fmt.Sprintf(`["target",%q]`, id)))
			case strings.Contains(q, "first(event_id)"), strings.Contains(q, "last(event_id)"):
				out = []string{series("hw_event", "", `"time","first"`, at(`"e"`))}
			case strings.Contains(q, "last(ticks)"):
				out = append(out, series("hw_visit", tags, `"time","last"`, at("1")))
			case strings.Contains(q, "last(state)"):
				out = append(out, series("hw_psu", tags+`,"site":"s","rack":"r"`, `"time","last"`, at("0")))
			case strings.Contains(q, "last(*)"):
				out = append(out, series("hw_psu", tags+`,"component":"psu/1"`, `"time","last_input_power_watts"`, at("300")))
			case strings.Contains(q, "count(ticks)"):
				out = append(out, series("hw_visit", tags+`,"tier":"readings","result":"done"`, `"time","count"`, at("2")))
			case strings.Contains(q, "input_power_watts"):
				out = append(out, series("hw_psu", tags+`,"component":"psu/1"`, `"time","input_power_watts"`, at("300"), at("302")))
			case strings.Contains(q, "FROM hw_event"):
				out = append(out, series("hw_event", tags+`,"component":"psu/1","class":"psu","kind":"failed","severity":"critical"`, `"time","event_id","fault_id","state"`, at(fmt.Sprintf(`"e%s","f%s","asserted"`, id, id))))
			}
		}
		fmt.Fprintf(w, `{"results":[{"statement_id":%d,"series":[%s]}]}`+"\n", n, strings.Join(out, ","))
		w.(http.Flusher).Flush()
	}
}

// review reads what a capacity review reads, in its order.
func review(ctx context.Context, r *Reader) (string, error) {
	var said strings.Builder
	tell := func(x any) error {
		fmt.Fprintf(&said, "%+v\n", x)
		return nil
	}
	targets, err := r.Targets(ctx)
	if err != nil {
		return "", err
	}
	var ids []health.TargetID
	for _, t := range targets {
		ids = append(ids, t.ID)
		_ = tell(t)
	}
	if _, err := r.Drops(ctx); err != nil {
		return "", err
	}
	var want []health.DayQuery
	if err := r.EachSeries(ctx, ids, func(id health.TargetID, s []health.SeriesFacts) error {
		q := health.DayQuery{Target: id}
		for _, x := range s {
			q.Aligned, q.Daily = append(q.Aligned, x.SeriesID), append(q.Daily, x.SeriesID)
		}
		want = append(want, q)
		return tell(s)
	}); err != nil {
		return "", err
	}
	day := t0.Truncate(24 * time.Hour)
	if err := r.EachFault(ctx, day, day.Add(24*time.Hour), func(f *health.Fault) error { return tell(*f) }); err != nil {
		return "", err
	}
	if err := r.EachEvent(ctx, "", day, day.Add(24*time.Hour), func(e *health.Event) error { e.From = ""; return tell(*e) }); err != nil {
		return "", err
	}
	err = r.Days(ctx, day, day.Add(24*time.Hour), want, func(d *health.DayFacts) error {
		return tell(fmt.Sprint(d.Target, d.Ticks, d.Daily))
	})
	return said.String(), err
}

// Whichever question the weather meets: a review that is made is the whole one, and one that is not says why, once.
func TestWeatherInAReviewNeverShowsLess(t *testing.T) {
	t.Parallel()
	cut := func(part func(body []string) string, whole bool) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var all strings.Builder
			standIn(&recorder{ResponseWriter: w, to: &all}, r)
			fmt.Fprint(w, part(strings.SplitAfter(all.String(), "\n")))
			w.(http.Flusher).Flush()
			if !whole {
				panic(http.ErrAbortHandler) // the chunk that ends it never comes
			}
		}
	}
	allBut := func(n int) func([]string) string {
		return func(lines []string) string { return strings.Join(lines[:len(lines)-1-n], "") }
	}
	weather := []struct {
		name   string
		answer http.HandlerFunc
		passes bool // asked again it may be well
		says   string
	}{
		{"500", with(500, `{"error":"engine: cache maximum memory size exceeded"}`), true, "500 Internal Server Error: engine: cache"},
		{"silence", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the other side has left
			<-r.Context().Done()
		}, true, "no answer within"},
		{"an answer that breaks off", cut(func(l []string) string { s := strings.Join(l, ""); return s[:len(s)/2] }, false), true, "EOF"},
		{"an answer that breaks off between two parts", cut(allBut(1), false), true, "EOF"},
		{"an answer that ends early as if it were whole", cut(allBut(1), true), true, "statements only"},
		{"an error in an answer of 200", with(200, `{"results":[{"statement_id":0,"error":"max-select-series limit exceeded: (12/10)"}]}`), false, "max-select-series"},
		{"a server with too many queries", with(200, `{"results":[{"statement_id":0,"error":"max-concurrent-queries limit exceeded(2, 2)"}]}`), true, "max-concurrent-queries"},
		{"an answer of which more was to come", cut(func(l []string) string {
			return strings.Replace(strings.Join(l, ""), `"statement_id":0,`, `"statement_id":0,"partial":true,`, 1)
		}, true), false, "cut off"},
	}
	calm, asked := answering(t, Options{}, standIn)
	want, err := review(t.Context(), calm)
	if err != nil || strings.Count(want, "input_power") < 2 || !strings.Contains(want, "asserted") || strings.Count(want, "readings") != 2 {
		t.Fatalf("%v\n%s", err, want)
	}
	questions := int(asked.Load())
	for _, c := range weather {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for n := range questions {
				for _, stays := range []bool{false, true} {
					var count atomic.Int64
					r, _ := answering(t, Options{Timeout: 300 * time.Millisecond, Token: secret.New("u:p")}, func(w http.ResponseWriter, req *http.Request) {
						if at := int(count.Add(1)) - 1; at == n || stays && at > n {
							c.answer(w, req)
							return
						}
						standIn(w, req)
					})
					if c.name == "silence" {
						if n != questions/2 { // each takes its time
							continue
						}
						r.o.Timeout = 20 * time.Millisecond
						if !stays {
							r.o.Timeout = 2 * time.Second
							continue
						}
					}
					got, err := review(t.Context(), r)
					switch {
					case !stays && c.passes && (err != nil || got != want):
						t.Errorf("question %d: asked again it is not the same: %v\n%s", n, err, cmp.Diff(want, got))
					case (stays || !c.passes) && (err == nil || !strings.Contains(err.Error(), c.says) || strings.Count(err.Error(), r.Source()) != 1):
						t.Errorf("question %d: %v, want one message with %q", n, err, c.says)
					}
				}
			}
		})
	}
}

type recorder struct {
	http.ResponseWriter
	to *strings.Builder
}

func (r *recorder) Write(b []byte) (int, error) { return r.to.Write(b) }
func (r *recorder) Flush()                      {}

func TestFieldsOfAnotherType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, measurement, field, has, says string }{
		{"a temperature that is text somewhere", "hw_temperature", "temperature_celsius", "string", "hw_temperature has temperature_celsius as string"},
		{"a tick that is true or false", "hw_visit", "ticks", "boolean", "hw_visit has ticks as boolean"},
		{"an event whose state is a number", "hw_event", "state", "integer", "hw_event has state as integer"},
		{"a temperature that is a whole number somewhere", "hw_temperature", "temperature_celsius", "integer", ""},
		{"a field that is not ours", "hw_temperature", "comment", "string", ""},
		{"a measurement that is not ours", "hw_rooms", "temperature_celsius", "string", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := json.Marshal([][]string{{c.field, "float"}, {c.field, c.has}})
			if err != nil {
				t.Fatal(err)
			}
			if c.measurement == "hw_event" {
				b = []byte(strings.Replace(string(b), "float", "string", 1))
			}
			r, _ := answering(t, Options{}, with(200, fmt.Sprintf(`{"results":[{"statement_id":0},{"statement_id":1,"series":[{"name":%q,"columns":["fieldKey","fieldType"],"values":%s}]}]}`, c.measurement, b)))
			_, err = r.classes(t.Context())
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func TestRealServerTellsWhatItDropsAndOfTypes(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	srv.Query("", `CREATE RETENTION POLICY short ON hardware DURATION 30d REPLICATION 1`)
	for bucket, want := range map[string]bool{"hardware/autogen": false, "hardware": false, "hardware/short": true, "hardware/none": true} {
		r, err := NewReader(Options{URL: srv.URL, Bucket: bucket, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if drops, err := r.Drops(t.Context()); err != nil || drops != want {
			t.Errorf("%s drops what is old: %t, %v; want %t", bucket, drops, err, want)
		}
	}
	// The second lies in another shard, or the server would not take it.
	day := t0.Truncate(24 * time.Hour)
	srv.Write("hardware", fmt.Sprintf("hw_fan,target=a,component=fan/1 speed_rpm=7 %d\nhw_visit,target=a,tier=readings,result=done ticks=1 %d", day.UnixNano(), day.UnixNano()))
	r, err := NewReader(Options{URL: srv.URL, Bucket: "hardware/autogen", Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Targets(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.Write("hardware", fmt.Sprintf("hw_fan,target=a,component=fan/1 speed_rpm=\"fast\" %d", day.AddDate(0, 0, -30).UnixNano()))
	if _, err := r.Targets(t.Context()); err == nil || !strings.Contains(err.Error(), "hw_fan has speed_rpm as string") {
		t.Errorf("%v", err)
	}
}
