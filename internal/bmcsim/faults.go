package bmcsim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// redfishFaults is what a Redfish server does wrong on request. All of it can be changed while the server runs.
type redfishFaults struct {
	mu         sync.Mutex
	latency    time.Duration
	retryAfter string
	status     map[string]int
	bodies     map[string][]byte
	cuts       map[string]int
	redirects  map[string]string
	hooks      map[string]http.HandlerFunc
	gate       chan struct{} // closed: requests pass; open: the BMC is hung
	hung       bool
}

func (f *redfishFaults) init() {
	f.status, f.bodies, f.cuts = map[string]int{}, map[string][]byte{}, map[string]int{}
	f.redirects, f.hooks = map[string]string{}, map[string]http.HandlerFunc{}
	f.gate = make(chan struct{})
	close(f.gate)
}

// SetLatency delays every answer by d.
func (f *redfishFaults) SetLatency(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency = d
}

// SetStatus answers every request whose path has the prefix with code and a Redfish error body; the longest prefix wins.
// Code 0 takes the fault back. It comes before authentication: SetStatus("/", 503) is a BMC that is starting.
func (f *redfishFaults) SetStatus(pathPrefix string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if code == 0 {
		delete(f.status, pathPrefix)
		return
	}
	f.status[pathPrefix] = code
}

// SetRetryAfter puts a Retry-After header into every answer that SetStatus causes; empty for none.
func (f *redfishFaults) SetRetryAfter(v string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.retryAfter = v
}

// SetBody answers GET of path with status 200 and exactly these bytes: half a document, a huge one, HTML. Nil takes it back.
func (f *redfishFaults) SetBody(path string, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if body == nil {
		delete(f.bodies, cleanPath(path))
		return
	}
	f.bodies[cleanPath(path)] = slices.Clone(body)
}

// CutBody declares the whole length of the answer to path and drops the connection after n bytes. A negative n takes it back.
func (f *redfishFaults) CutBody(path string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n < 0 {
		delete(f.cuts, cleanPath(path))
		return
	}
	f.cuts[cleanPath(path)] = n
}

// Redirect answers path with 307 and the Location to; an empty to takes it back.
func (f *redfishFaults) Redirect(path, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if to == "" {
		delete(f.redirects, cleanPath(path))
		return
	}
	f.redirects[cleanPath(path)] = to
}

// Hook answers path with h, after authentication, for what no other fault can do; nil takes it back.
func (f *redfishFaults) Hook(path string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h == nil {
		delete(f.hooks, cleanPath(path))
		return
	}
	f.hooks[cleanPath(path)] = h
}

// Hang makes the BMC accept connections and stay silent: no TLS handshake on new connections, no answer on old ones.
// Requests that wait go on when it is taken back.
func (f *redfishFaults) Hang(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if on == f.hung {
		return
	}
	f.hung = on
	if on {
		f.gate = make(chan struct{})
	} else {
		close(f.gate)
	}
}

func (f *redfishFaults) waitGate(done <-chan struct{}) bool {
	f.mu.Lock()
	gate := f.gate
	f.mu.Unlock()
	select {
	case <-gate:
		return true
	case <-done:
		return false
	}
}

// requestFaults is what concerns one request.
type requestFaults struct {
	latency    time.Duration
	status     int
	retryAfter string
	redirect   string
	body       []byte
	cut        int
	hook       http.HandlerFunc
}

func (f *redfishFaults) of(path string) requestFaults {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := requestFaults{latency: f.latency, retryAfter: f.retryAfter, redirect: f.redirects[path], body: f.bodies[path], cut: -1, hook: f.hooks[path]}
	if n, ok := f.cuts[path]; ok {
		r.cut = n
	}
	prefixes := slices.SortedFunc(maps.Keys(f.status), func(a, b string) int { return len(b) - len(a) })
	for _, p := range prefixes {
		if strings.HasPrefix(path, p) {
			r.status = f.status[p]
			break
		}
	}
	return r
}
