package capture

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// Pace is how fast a BMC is asked: one request at a time, and so many a second.
type Pace struct {
	limit *rate.Limiter
	slot  chan struct{}
	// Asked is called after every request that went to the BMC, one call at a time; nil: not.
	Asked func()
}

// NewPace makes a pace.
func NewPace(perSecond float64) *Pace {
	return &Pace{limit: rate.NewLimiter(rate.Limit(perSecond), 1), slot: make(chan struct{}, 1)}
}

func (p *Pace) enter(ctx context.Context) error {
	select {
	case p.slot <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.limit.Wait(ctx); err != nil {
		<-p.slot
		if ctx.Err() == nil { // it would be too late by then
			return context.DeadlineExceeded
		}
		return ctx.Err()
	}
	return nil
}

func (p *Pace) leave() {
	if p.Asked != nil {
		p.Asked()
	}
	<-p.slot
}

// Transport records what passes through next. What the journal holds already is served from it.
func (j *Journal) Transport(next http.RoundTripper, pace *Pace) http.RoundTripper {
	return &tap{j, next, pace}
}

type tap struct {
	j    *Journal
	next http.RoundTripper
	pace *Pace
}

// keptHeaders are those that a decoder may look at. Of the others some hold tokens and cookies.
var keptHeaders = []string{"Content-Type", "Allow", "Retry-After", "Location", "OData-Version"}

func (t *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.j.Err(); err != nil {
		closeRequest(r)
		return nil, err
	}
	url := r.URL.RequestURI()
	if r.Method == http.MethodGet {
		if d := t.j.Document(url); d != nil && d.Error == "" {
			return d.Response(r), nil
		}
	}
	if err := t.pace.enter(r.Context()); err != nil {
		closeRequest(r)
		return nil, err
	}
	defer t.pace.leave()
	resp, err := t.next.RoundTrip(r)
	if r.Method != http.MethodGet {
		if err == nil && r.Method == http.MethodPost {
			t.j.AddLogin(url, resp.StatusCode, resp.Header.Get("X-Auth-Token"))
		}
		return resp, err //nolint:wrapcheck // a transport passes errors on
	}
	d := &Document{URL: url}
	if err == nil {
		d.Status = resp.StatusCode
		d.Header = map[string]string{}
		for _, h := range keptHeaders {
			if v := resp.Header.Get(h); v != "" {
				d.Header[h] = v
			}
		}
		d.Body, err = readAll(resp)
		if errors.Is(err, errTooLarge) { // let who asked find out
			t.j.AddDocument(&Document{URL: url, Error: errorTooLarge})
			return d.Response(r), nil
		}
		if err != nil && r.Context().Err() == nil && !isTimeout(err) {
			t.j.AddDocument(&Document{URL: url, Error: errorCut})
		}
	}
	if err != nil {
		if isTimeout(err) && r.Context().Err() == nil || errors.Is(r.Context().Err(), context.DeadlineExceeded) {
			t.j.AddDocument(&Document{URL: url, Error: errorTimeout})
		}
		return nil, err
	}
	t.j.AddDocument(d)
	return d.Response(r), nil
}

// Why there is no answer, in the words of health.Reason.
const (
	errorTimeout   = "timeout"
	errorTooLarge  = "too_large"
	errorMalformed = "malformed"
	errorCut       = "unreachable"
)

var errTooLarge = errors.New("the answer is larger than is recorded")

// readAll reads a body, unpacked. Half a body is kept as the half it is, with the error.
func readAll(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close() //nolint:errcheck // read to its end
	from := io.Reader(resp.Body)
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(io.LimitReader(resp.Body, MaxBody))
		if err != nil {
			return nil, err //nolint:wrapcheck // a transport passes errors on
		}
		from = z
	}
	b, err := io.ReadAll(io.LimitReader(from, MaxBody+1))
	if err == nil && len(b) > MaxBody {
		return b, errTooLarge
	}
	return b, err //nolint:wrapcheck // a transport passes errors on
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

func closeRequest(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// Response is a recorded answer as an answer to r.
func (d *Document) Response(r *http.Request) *http.Response {
	h := http.Header{}
	for k, v := range d.Header {
		h.Set(k, v)
	}
	h.Set("Content-Length", strconv.Itoa(len(d.Body)))
	return &http.Response{
		Status: strconv.Itoa(d.Status) + " " + http.StatusText(d.Status), StatusCode: d.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(d.Body)), ContentLength: int64(len(d.Body)), Request: r,
	}
}

// Exchanger runs one IPMI command: the completion code and what follows it, or an error if no answer came.
type Exchanger = func(ctx context.Context, netFn, cmd, lun uint8, data []byte) (code uint8, answer []byte, err error)

// Tap records what passes through next, as Transport does for Redfish. Now tells the time; reason names an error's.
func (j *Journal) Tap(next Exchanger, pace *Pace, now func() time.Time, reason func(error) string) Exchanger {
	return func(ctx context.Context, netFn, cmd, lun uint8, data []byte) (uint8, []byte, error) {
		if err := j.Err(); err != nil {
			return 0, nil, err
		}
		if x := j.Exchange(netFn, cmd, lun, data); x != nil && x.Error == "" {
			return x.Code, bytes.Clone(x.Response), nil
		}
		if err := pace.enter(ctx); err != nil {
			return 0, nil, err
		}
		defer pace.leave()
		x := &Exchange{NetFn: netFn, Cmd: cmd, LUN: lun, Request: bytes.Clone(data), After: now().Sub(j.Started())}
		code, answer, err := next(ctx, netFn, cmd, lun, data)
		if err != nil {
			if r := reason(err); ctx.Err() == nil && (r == errorTimeout || r == errorMalformed) {
				x.Error = r
				j.AddExchange(x)
			}
			return 0, nil, err
		}
		x.Code, x.Response = code, answer
		j.AddExchange(x)
		return code, answer, nil
	}
}
