package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
)

// fillInfluxScale writes what dewline delivers of the fleet of fillScale: its readings every five minutes, and parts without any every fifteen.
func fillInfluxScale(t *testing.T, srv *influxtest.Server, servers, days int) (points int) {
	t.Helper()
	srv.Query("", `CREATE DATABASE hardware`)
	series := allScaleSeries()
	kinds := scaleKinds(servers)
	readings := make([][][]health.Reading, kinds)
	for k := range readings {
		readings[k] = make([][]health.Reading, health.StepsPerDay)
		for i := range readings[k] {
			for n := range series {
				if v := scaleValue(&series[n], n, k, i); !math.IsNaN(v) {
					s := &series[n]
					readings[k][i] = append(readings[k][i], health.Reading{Component: s.Component, Quantity: s.Quantity, Unit: s.Unit, Value: v})
				}
			}
		}
	}
	var lines strings.Builder
	n := 0
	send := func() { srv.Write("hardware", lines.String()); lines.Reset(); points, n = points+n, 0 }
	for d := range days {
		for s := range servers {
			k := (s*31 + d*17) % kinds
			if d == days-1 { // as expectedSum has it
				k = 0
			}
			for i, some := range readings[k] {
				if len(some) == 0 {
					continue
				}
				v := scaleVisit(s, scaleFrom.AddDate(0, 0, d).Add(time.Duration(i)*health.AlignStep+7*time.Second), some, false)
				if i%3 != 0 {
					v.Snapshot.Components = slices.DeleteFunc(v.Snapshot.Components, func(c health.Component) bool {
						return !slices.ContainsFunc(some, func(r health.Reading) bool { return r.Component == c.ID })
					})
				}
				for _, l := range influx.Encode(v, *v.Where) {
					lines.WriteString(l)
					lines.WriteByte('\n')
					n++
				}
				if n > 20000 {
					send()
				}
			}
		}
	}
	send()
	return points
}

// counting passes requests on to a server, and counts them.
type counting struct {
	requests, bytes, atOnce, most atomic.Int64
}

func (c *counting) start(t *testing.T, to string) string {
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.FlushInterval = -1
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Body = countedBody{r.Body, &c.bytes}
		return nil
	}
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		mu.Lock()
		c.most.Store(max(c.most.Load(), c.atOnce.Add(1)))
		mu.Unlock()
		defer c.atOnce.Add(-1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// TestCapacityOfAFleetFromInfluxDB makes the review of the same fleet from a real InfluxDB: what dewline asks for and holds is asserted, what it costs is
// told. DEWLINE_INFLUX_FLEET="SERVERS DAYS" chooses the size.
func TestCapacityOfAFleetFromInfluxDB(t *testing.T) {
	t.Parallel()
	servers, days := 10, 1
	if s := os.Getenv("DEWLINE_INFLUX_FLEET"); s != "" {
		if n, err := fmt.Sscan(s, &servers, &days); n != 2 || servers < 10 || days < 1 {
			t.Fatalf("DEWLINE_INFLUX_FLEET=%q: want SERVERS DAYS, ten servers at least: %v", s, err)
		}
	}
	srv := influxtest.Start(t)
	began := time.Now()
	points := fillInfluxScale(t, srv, servers, days)
	t.Logf("%d points written in %s", points, time.Since(began).Round(time.Millisecond))
	var wire counting
	dir := t.TempDir()
	conf, out := filepath.Join(dir, "dewline.toml"), filepath.Join(dir, "out")
	text := fmt.Appendf(nil, "data_dir = %q\n[influxdb]\nurl = %q\nbucket = \"hardware/autogen\"\ntimeout = \"60s\"\n[[credential]]\nname = \"c\"\nusername = \"u\"\npassword = \"env:DEWLINE_TEST_NONE\"\n", filepath.Join(dir, "data"), wire.start(t, srv.URL))
	for s := range servers {
		at := scaleVisit(s, scaleFrom, nil, false).Where
		text = fmt.Appendf(text, "[[target]]\nname = %q\naddress = \"https://192.0.2.1:%d\"\ncredential = \"c\"\nsite = %q\nrack = %q\nposition = %d\n", at.ID, s+1, at.Site, at.Rack, at.Position)
	}
	if err := os.WriteFile(conf, text, 0o600); err != nil {
		t.Fatal(err)
	}
	until := scaleFrom.AddDate(0, 0, days)
	cmd := exec.Command(os.Args[0], "report", "capacity", "-c", conf, "--source", "influxdb", "--since", scaleFrom.Format(time.RFC3339), "--until", until.Format(time.RFC3339),
		"--generated-at", until.Add(time.Hour).Format(time.RFC3339), "--zip=false", "--out", out)
	cmd.Env = append(os.Environ(), runAsDewline+"=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	serverCPU := srv.CPU()
	began = time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak, err := watchMemory(cmd)
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	t.Logf("%d servers, %d days: %d requests, %d at once at most, %.1f MB of answers; dewline %s of CPU, %d MB at most; influxd %s of CPU; %s by the clock", servers, days,
		wire.requests.Load(), wire.most.Load(), float64(wire.bytes.Load())/1e6, cpu.Round(time.Millisecond), peak>>20, (srv.CPU() - serverCPU).Round(10*time.Millisecond), time.Since(began).Round(time.Millisecond))
	if peak > 1<<30 {
		t.Errorf("it holds %d MB", peak>>20)
	}
	checkScale(t, out, servers, days)
}
