package push

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"dewline/health"
	"dewline/internal/secret"
)

// Limits of a request.
const (
	maxBody  = 1 << 20 // bytes, also once unpacked
	maxLines = 5000
	// atOnce is how many requests are dealt with at a time.
	atOnce = 16
	// expireEvery is how often silence is looked for.
	expireEvery = 15 * time.Second
)

// Options of an Input.
type Options struct {
	Token   secret.Secret // never empty
	Rate    float64       // requests a second, in bursts of twice that
	MaxAge  func() time.Duration
	Record  Recorder
	Visit   Visit
	Log     *slog.Logger
	Now     func() time.Time
	Version string
}

// Input takes pushed readings.
type Input struct {
	o       Options
	token   [sha256.Size]byte
	limit   *rate.Limiter
	denied  *rate.Limiter // answers to those who have no token
	atOnce  chan struct{}
	unknown sayOnce

	mu     sync.RWMutex
	probes []*probe
}

// New makes an input for the given probes.
func New(o Options, probes []Probe) (*Input, error) {
	if o.Token.Reveal() == "" {
		return nil, errors.New("the token of [input] is empty: anyone could push readings")
	}
	in := &Input{
		o: o, token: sha256.Sum256([]byte(o.Token.Reveal())), limit: rate.NewLimiter(rate.Limit(o.Rate), max(1, int(2*o.Rate))),
		denied: rate.NewLimiter(5, 10), atOnce: make(chan struct{}, atOnce),
	}
	in.Set(probes)
	return in, nil
}

// Set puts probes in force. What is known of those that stay is kept.
func (in *Input) Set(probes []Probe) {
	in.mu.Lock()
	defer in.mu.Unlock()
	old := in.probes
	in.probes = nil
	for _, p := range probes {
		p.Sensors = slices.Clone(p.Sensors)
		n := &probe{Probe: p, since: in.o.Now()}
		if i := slices.IndexFunc(old, func(o *probe) bool { return o.Target.ID == p.Target.ID }); i >= 0 {
			old[i].mu.Lock()
			n.since, n.expired = old[i].since, old[i].expired // its Known is recalled: nothing is recorded twice
			old[i].mu.Unlock()
		}
		in.probes = append(in.probes, n)
	}
}

func (in *Input) all() []*probe {
	in.mu.RLock()
	defer in.mu.RUnlock()
	return in.probes
}

// Run records silence until ctx ends.
func (in *Input) Run(ctx context.Context) {
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range in.all() {
			if err := p.expire(ctx, in.o.Record, in.o.Visit, in.o.MaxAge(), in.o.Now()); err != nil && ctx.Err() == nil {
				in.o.Log.Error("the silence of a probe cannot be recorded now", "target", p.Target.ID, "err", err)
			}
		}
	}
}

// Handler serves the write calls of InfluxDB 1.x and 2.x.
func (in *Input) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /write", in.write)
	mux.HandleFunc("POST /api/v2/write", in.write)
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Influxdb-Version", "dewline-"+in.o.Version)
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// refusal is an answer that is not 204.
type refusal struct {
	status  int
	code    string // InfluxDB 2.x's word
	message string
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

func (in *Input) write(w http.ResponseWriter, r *http.Request) {
	ignored, no := in.accept(w, r)
	if no == nil {
		if ignored != "" {
			w.Header().Set("X-Dewline-Ignored", ignored)
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if no.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="dewline"`)
	}
	if no.status == http.StatusTooManyRequests || no.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(no.status)
	// Both versions of InfluxDB at once: 2.x has code and message, 1.x error.
	_ = json.NewEncoder(w).Encode(map[string]string{"code": no.code, "message": no.message, "error": no.message})
}

// accept deals with a request; what it says was ignored is for people.
func (in *Input) accept(w http.ResponseWriter, r *http.Request) (ignored string, no *refusal) {
	switch authorized := in.authorized(r); { // those without a token use up nothing of those who have it
	case authorized && !in.limit.Allow():
		return "", refuse(http.StatusTooManyRequests, "too many requests", "more than %g requests a second", in.o.Rate)
	case !authorized && !in.denied.Allow():
		return "", refuse(http.StatusTooManyRequests, "too many requests", "too many requests without the token")
	case !authorized:
		return "", refuse(http.StatusUnauthorized, "unauthorized", "the token of [input] is needed: as \"Authorization: Token …\", or as the password of Basic authorization")
	}
	select {
	case in.atOnce <- struct{}{}:
		defer func() { <-in.atOnce }()
	default:
		return "", refuse(http.StatusServiceUnavailable, "unavailable", "%d requests are being recorded already", atOnce)
	}
	unit, no := precision(r)
	if no != nil {
		return "", no
	}
	body, no := read(w, r)
	if no != nil {
		return "", no
	}
	points, no := parse(body, unit, in.o.Now())
	if no != nil {
		return "", no
	}
	return in.record(r.Context(), points)
}

func (in *Input) authorized(r *http.Request) bool {
	given := ""
	if _, password, ok := r.BasicAuth(); ok {
		given = password
	} else if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && (strings.EqualFold(scheme, "Token") || strings.EqualFold(scheme, "Bearer")) {
		given = strings.TrimSpace(token)
	}
	sum := sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(sum[:], in.token[:]) == 1
}

func precision(r *http.Request) (time.Duration, *refusal) {
	switch p := r.URL.Query().Get("precision"); p {
	case "", "ns", "n":
		return time.Nanosecond, nil
	case "us", "u", "µ":
		return time.Microsecond, nil
	case "ms":
		return time.Millisecond, nil
	case "s":
		return time.Second, nil
	case "m":
		return time.Minute, nil
	case "h":
		return time.Hour, nil
	default:
		return 0, refuse(http.StatusBadRequest, "invalid", "precision %q is none of ns, us, ms, s", p)
	}
}

func read(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxBody)
	switch e := r.Header.Get("Content-Encoding"); e {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "invalid", "the body is no gzip: %v", err)
		}
		body = z
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "invalid", "Content-Encoding %q is neither gzip nor identity", e)
	}
	b, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if _, large := errors.AsType[*http.MaxBytesError](err); large || len(b) > maxBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, "request too large", "more than %d bytes: send fewer lines at a time", maxBody)
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "invalid", "read the body: %v", err)
	}
	return b, nil
}

// parse reads line protocol. A point without a time is of now.
func parse(body []byte, unit time.Duration, now time.Time) ([]point, *refusal) {
	points, err := parseLines(body, unit)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "invalid", "%v; nothing was recorded", err)
	}
	if len(points) > maxLines {
		return nil, refuse(http.StatusRequestEntityTooLarge, "request too large", "%d lines, %d at most at a time", len(points), maxLines)
	}
	for i := range points {
		p := &points[i]
		if p.at.IsZero() {
			p.at = now
		}
		if p.at.After(now.Add(ahead)) {
			return nil, refuse(http.StatusUnprocessableEntity, "unprocessable entity",
				"line %d is dated %s, more than %s ahead: the sender's clock, or `precision`, is wrong; nothing was recorded",
				p.line, p.at.UTC().Format(time.RFC3339), ahead)
		}
	}
	return points, nil
}

// record gives each line to the sensors that it is of.
func (in *Input) record(ctx context.Context, lines []point) (ignored string, no *refusal) {
	probes := in.all()
	reports, late := make([][]report, len(probes)), make([][]report, len(probes))
	maxAge, now := in.o.MaxAge(), in.o.Now()
	var unknown, stale, old, matched int
	for _, l := range lines {
		hit := false
		for i, p := range probes {
			for k := range p.Sensors {
				s := &p.Sensors[k]
				if !s.takes(&l) {
					continue
				}
				for _, f := range l.fields {
					if f.key != s.Field {
						continue
					}
					hit = true
					if age := now.Sub(l.at); age > maxAge {
						stale++
						if s.wet(f.value) && age <= lateMost {
							late[i] = append(late[i], report{s, l.at, f.value})
						}
					} else {
						reports[i] = append(reports[i], report{s, l.at, f.value})
					}
				}
			}
		}
		if hit {
			matched++
		} else {
			unknown++
		}
	}
	if matched == 0 && len(lines) > 0 {
		m := lines[0]
		return "", refuse(http.StatusBadRequest, "invalid",
			"none of the %d points is of a [[probe.sensor]]; the first is %s: compare measurement, tags and field with the configuration", len(lines), describe(m))
	}
	if unknown > 0 {
		in.unknown.say(in.o.Log, unknown, lines)
	}
	unavailable := func(p *probe, err error) *refusal {
		in.o.Log.Error("pushed readings cannot be recorded now", "target", p.Target.ID, "err", err)
		return refuse(http.StatusServiceUnavailable, "unavailable", "the store takes nothing now: send it again")
	}
	for i, p := range probes {
		if len(late[i]) > 0 {
			if _, err := p.takeLate(ctx, in.o.Record, in.o.Visit, late[i], maxAge, now); err != nil {
				return "", unavailable(p, err)
			}
		}
		if len(reports[i]) == 0 {
			continue
		}
		n, err := p.take(ctx, in.o.Record, in.o.Visit, reports[i], now)
		old += n
		if err != nil {
			return "", unavailable(p, err)
		}
	}
	var parts []string
	for _, x := range []struct {
		n   int
		why string
	}{{stale, "older than " + maxAge.String()}, {old, "no newer than what is there, or overtaken within " + Bucket.String()}, {unknown, "of no [[probe.sensor]]"}} {
		if x.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.n, x.why))
		}
	}
	return strings.Join(parts, ", "), nil
}

// describe is a point in short: measurement, tags and fields, bounded.
func describe(l point) string {
	var b strings.Builder
	b.WriteString(l.measurement)
	for _, t := range l.tags {
		fmt.Fprintf(&b, ",%s=%s", t.key, t.value)
	}
	b.WriteString(" with fields")
	for _, f := range l.fields {
		b.WriteString(" " + f.key)
	}
	s := fmt.Sprintf("%q", b.String())
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

// sayOnce tells the log of points that no sensor names: once, not ten times a minute.
type sayOnce struct {
	once sync.Once
}

func (s *sayOnce) say(log *slog.Logger, n int, lines []point) {
	s.once.Do(func() {
		log.Info("some pushed points are of no [[probe.sensor]] and are not kept; this is said once", "points", n, "of", len(lines))
	})
}

// Targets are the probes as targets.
func (in *Input) Targets() []health.Target {
	var out []health.Target
	for _, p := range in.all() {
		out = append(out, p.Target)
	}
	return out
}
