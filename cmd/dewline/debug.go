package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"time"

	"dewline/collector"
)

// listenDebug opens the address of --debug-listen, on loopback and nowhere else: profiles show what is in memory.
func listenDebug(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usageError("--debug-listen %s: %w: HOST:PORT, for example 127.0.0.1:6060", address, err)
	}
	if !loopback(host) {
		return nil, usageError("--debug-listen %s: only loopback: profiles show what is in memory, secrets too. Reach it from elsewhere by `ssh -L`", address)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--debug-listen: %w", err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() { // "localhost" is what the hosts file says
		return nil, errors.Join(usageError("--debug-listen %s: this is %s, which is not loopback", address, l.Addr()), l.Close())
	}
	return l, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// debugHandler answers /debug/pprof/, /debug/metrics (runtime/metrics as text) and /debug/dewline (our own numbers as JSON).
func debugHandler(state func(context.Context) debugDoc) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/metrics", writeRuntimeMetrics)
	mux.HandleFunc("GET /debug/dewline", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(state(r.Context())) // who asked has gone: nothing to tell anyone
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "/debug/dewline\n/debug/metrics\n/debug/pprof/")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page in a browser on this machine can make names resolve to loopback; it cannot forge Host.
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if !loopback(host) {
			http.Error(w, "ask by the address itself", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func writeRuntimeMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	all := metrics.All()
	samples := make([]metrics.Sample, len(all))
	for i, d := range all {
		samples[i].Name = d.Name
	}
	metrics.Read(samples)
	for _, s := range samples {
		switch s.Value.Kind() {
		case metrics.KindUint64:
			fmt.Fprintf(w, "%s %d\n", s.Name, s.Value.Uint64())
		case metrics.KindFloat64:
			fmt.Fprintf(w, "%s %g\n", s.Name, s.Value.Float64())
		case metrics.KindFloat64Histogram:
			h := s.Value.Float64Histogram()
			n := uint64(0)
			for _, c := range h.Counts {
				n += c
			}
			fmt.Fprintf(w, "%s count=%d p50<=%g p99<=%g\n", s.Name, n, quantile(h, n, 0.5), quantile(h, n, 0.99))
		}
	}
}

// quantile is the upper bound of the bucket that holds the p-th of n values.
func quantile(h *metrics.Float64Histogram, n uint64, p float64) float64 {
	var seen uint64
	for i, c := range h.Counts {
		if seen += c; n > 0 && float64(seen) >= p*float64(n) {
			return h.Buckets[i+1]
		}
	}
	return 0
}

// serveDebug answers until ctx ends.
func serveDebug(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // a profile may take minutes: it is cut
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve --debug-listen: %w", err)
	}
	return nil
}

// debugDoc is /debug/dewline. It is for people who look for trouble, and no interface.
type debugDoc struct {
	At        time.Time              `json:"at"`
	Targets   int                    `json:"targets"`
	Access    map[string]int         `json:"access"`
	Visits    int64                  `json:"visits"`
	Unmapped  int64                  `json:"unmapped_log_entries"`
	Lateness  debugTimes             `json:"lateness"`
	Commit    debugTimes             `json:"commit"`
	Slots     map[string][2]int      `json:"slots_used_of"`
	Queue     int                    `json:"queue"`
	Suspended []string               `json:"suspended_credentials"`
	Stalled   string                 `json:"stalled,omitempty"`
	SinkLag   map[string]float64     `json:"sink_lag_seconds"`
	SinkError string                 `json:"sink_error,omitempty"`
	Notify    map[string]notifierDoc `json:"notify"`
	Store     int64                  `json:"store_bytes"`
	WAL       int64                  `json:"wal_bytes"`
}

type debugTimes struct {
	Count      int     `json:"count"`
	P50Seconds float64 `json:"p50_seconds"`
	P99Seconds float64 `json:"p99_seconds"`
	MaxSeconds float64 `json:"max_seconds"`
}

func newDebugTimes(p collector.Percentiles) debugTimes {
	return debugTimes{p.Count, p.P50.Seconds(), p.P99.Seconds(), p.Max.Seconds()}
}

func (d *service) debugState(ctx context.Context) debugDoc {
	s := d.collector.Stats()
	doc := debugDoc{
		At: time.Now().UTC(), Targets: s.Targets, Access: map[string]int{}, Visits: s.Visits, Unmapped: s.Unmapped, Queue: s.Waiting,
		Lateness: newDebugTimes(s.Lateness), Commit: newDebugTimes(s.Commit), Suspended: append([]string{}, s.Suspended...),
		Slots:   map[string][2]int{"healthy": {s.Healthy.Used, s.Healthy.Size}, "failing": {s.Failing.Used, s.Failing.Size}, "slow": {s.Slow.Used, s.Slow.Size}},
		SinkLag: map[string]float64{},
	}
	for state, n := range s.Access {
		doc.Access[string(state)] = n
	}
	if err := d.collector.Stalled(); err != nil {
		doc.Stalled = err.Error()
	}
	if d.delivery != nil {
		st := d.delivery.State()
		doc.SinkLag[st.Name], doc.SinkError = st.Lag.Seconds(), st.LastError
	}
	if n, err := notifierDocs(ctx, d.db); err == nil {
		doc.Notify = n
	}
	if n, err := d.db.Size(ctx); err == nil {
		doc.Store = n
	}
	if fi, err := os.Stat(filepath.Join(d.config().DataDir, "dewline.db-wal")); err == nil {
		doc.WAL = fi.Size()
	}
	return doc
}
