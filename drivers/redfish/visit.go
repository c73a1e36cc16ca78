package redfish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dewline/health"
	"dewline/internal/quirk"
)

// visit is one Read: the documents it fetched, each once, and what was made of them.
type visit struct {
	c     *Client
	ctx   context.Context
	req   health.Request
	mem   *memory
	meter *meter
	auth  auth
	at    time.Time

	mu sync.Mutex
	budget
	docs    map[string]*document
	broken  *health.Error // nothing more can be read in this visit
	slowRow int           // timeouts in a row
	read    int           // documents read

	often     map[string]bool   // sensors that were read often before this visit
	learning  bool              // this visit discovers: what is missing now was never there
	full      bool              // all trees are read, not only what the readings tier needs
	rotors    map[string]string // rotor -> Fan or Pump resource
	ignored   int               // expanded requests that were answered as if they were plain ones
	denies    bool              // the collection listed last has members that must not be read
	temps     map[string]string // chassis -> its ThermalMetrics
	lost      map[string]bool   // collections of which a remembered member was there no more
	drivesGap *health.Error     // why the tree that names drives was not read whole
	hostPower health.HostPower
	found     *health.Identity // as far as read
	identity  *health.Identity
	union     *union
	scope     map[string]bool
	gaps      []health.Gap
	refused   *health.Error // the first document that is there and could not be read
	gapSeen   map[string]bool

	countedOnce map[string]bool // collections whose count was judged in this visit
	log         []health.LogEntry
	logs        []health.LogInfo
	logRead     bool // one of them at least, be it empty
	cursors     health.Cursors
}

// document is one fetched resource: its JSON object, or why there is none.
type document struct {
	raw []byte
	err *health.Error
	// When it was asked for, and how long that took: zero if it came with another.
	asked time.Time
	took  time.Duration
}

func newVisit(c *Client, ctx context.Context, req health.Request, at time.Time) *visit {
	c.recall(req.Memory)
	m := new(meter)
	switch b := c.o.RequestBudget; {
	case b > 0:
		m.budget = int64(b)
	case b == 0:
		m.budget = DefaultRequestBudget
		if req.Tiers.Has(health.TierHealth) || req.Tiers.Has(health.TierInventory) || !c.mem.Learned || c.mem.Stale {
			m.budget *= 10
		}
	}
	v := &visit{
		c: c, ctx: withMeter(ctx, m), req: req, mem: c.mem, meter: m, at: at,
		docs: map[string]*document{}, scope: map[string]bool{}, gapSeen: map[string]bool{}, cursors: health.Cursors{},
		often: map[string]bool{}, rotors: map[string]string{},
		countedOnce: map[string]bool{}, lost: map[string]bool{}, temps: map[string]string{},
	}
	if c.mem.Learned { // before, all is read: nothing is known yet
		v.budget = newBudget(req.Patience)
	} else {
		v.budget = newBudget(0)
	}
	v.union = newUnion(v)
	return v
}

// fail ends the visit: nothing further is asked.
func (v *visit) fail(e *health.Error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.broken == nil {
		v.broken = e
	}
}

func (v *visit) failed() *health.Error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.broken
}

// get fetches a resource, or gives the one already fetched. uri is a result of resolve.
func (v *visit) get(uri string) ([]byte, *health.Error) {
	v.mu.Lock()
	d, ok := v.docs[uri]
	v.mu.Unlock()
	if ok {
		return d.raw, d.err
	}
	d = new(document)
	if place := insideOf(uri); place != "" {
		d.raw, d.err = v.inner(place, uri)
	} else {
		d.asked = v.c.o.Now()
		d.raw, d.err = v.fetch(uri)
		d.took = v.c.o.Now().Sub(d.asked)
	}
	v.mu.Lock()
	v.docs[uri] = d
	v.mu.Unlock()
	return d.raw, d.err
}

// fetch is get without the memory: one request, or two when the session had expired.
func (v *visit) fetch(uri string) ([]byte, *health.Error) {
	op := "GET " + uri
	if e := v.failed(); e != nil {
		return nil, e
	}
	if !v.learning && slices.Contains(v.mem.Missing, uri) {
		return nil, &health.Error{Reason: health.ReasonNotFound, Op: op, Err: errMissing}
	}
	if e := v.wait(uri); e != nil {
		return nil, e
	}
	if v.ctx.Err() != nil {
		e := classify(v.ctx, op, v.ctx.Err())
		v.fail(e)
		return nil, e
	}
	for {
		began := v.c.o.Now()
		raw, used, e := v.try(uri, op)
		v.clock(uri, v.c.o.Now().Sub(began), e)
		if e == nil {
			v.mu.Lock()
			v.read++
			v.slowRow = 0
			v.mu.Unlock()
			return raw, nil
		}
		if se, ok := errors.AsType[*statusError](e); ok && se.code == http.StatusUnauthorized {
			if v.c.relogin(v.ctx, v, used) {
				continue
			}
			// Refused as we are, also after a new login: asking on would only lock the account.
			v.fail(e)
		}
		v.judge(e)
		if v.learning && e.Reason == health.ReasonNotFound {
			v.mu.Lock()
			if len(v.mem.Missing) < maxMissing && !slices.Contains(v.mem.Missing, uri) {
				v.mem.Missing = append(v.mem.Missing, uri)
			}
			v.mu.Unlock()
		}
		return nil, e
	}
}

// errMissing stands for the 404 of the last discovery.
var errMissing = errors.New("was not there at the last discovery")

const maxMissing = 512

// judge decides whether an error ends the visit: dead lines do at once, silence does the second time running.
func (v *visit) judge(e *health.Error) {
	if v.gaveUp(e) {
		return // the place is, not the BMC
	}
	if fatal(e.Reason) && e.Reason != health.ReasonUnsupported {
		if e.Reason == health.ReasonUnreachable && v.readAny() {
			// One dropped connection in mid-visit is no dead BMC; two running are.
			v.mu.Lock()
			v.slowRow++
			dead := v.slowRow > 1
			v.mu.Unlock()
			if !dead {
				return
			}
		}
		v.fail(e)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Reason != health.ReasonTimeout {
		v.slowRow = 0
		return
	}
	v.slowRow++
	if (v.slowRow > 1 || v.read == 0) && v.broken == nil {
		v.broken = e
	}
}

func (v *visit) readAny() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.read > 0
}

// try is one request. used is the token it was sent with.
func (v *visit) try(uri, op string) (raw []byte, used string, _ *health.Error) {
	ctx, cancel := context.WithTimeout(v.ctx, v.c.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.c.base.String()+uri, nil)
	if err != nil {
		return nil, "", &health.Error{Reason: health.ReasonMalformed, Op: op, Err: errors.New("link is no URL")}
	}
	v.c.headers(req)
	if uri != rootURI {
		used = v.c.authorise(req, &v.auth)
	}
	resp, err := v.c.http.Do(req)
	if err != nil {
		return nil, used, classify(v.ctx, op, err)
	}
	body, err := readBody(resp)
	if stop := v.ctx.Err(); stop != nil && (resp.StatusCode != http.StatusOK || err != nil || !isObject(body)) {
		return nil, used, classify(v.ctx, op, stop) // half an answer to a request that we gave up
	}
	if resp.StatusCode != http.StatusOK {
		reason := reasonForStatus(resp.StatusCode)
		return nil, used, &health.Error{Reason: reason, Op: op, Err: &statusError{code: resp.StatusCode, msg: v.c.scrub(messageOf(body))}}
	}
	if err != nil {
		return nil, used, classify(v.ctx, op, err)
	}
	if !isObject(body) {
		if body = repair(body); body == nil {
			return nil, used, &health.Error{Reason: health.ReasonMalformed, Op: op, Err: errors.New("the answer is no JSON object")}
		}
	}
	if e := errorIn200(op, body); e != nil {
		return nil, used, e
	}
	return body, used, nil
}

// errorIn200 finds an error body under HTTP 200: OpenBMC for a missing chassis, Intel for a chassis that only groups.
func errorIn200(op string, body []byte) *health.Error {
	if !bytes.Contains(body, []byte(`"error"`)) {
		return nil
	}
	var o struct {
		ID    text            `json:"@odata.id"`
		Error json.RawMessage `json:"error"`
	}
	if decode(body, &o) != nil || o.ID != "" || len(o.Error) == 0 {
		return nil
	}
	msg := messageOf(body)
	reason := health.ReasonServerError
	low := strings.ToLower(msg)
	for _, w := range []string{"resourcemissing", "resourcenotfound", "not found", "notfound"} {
		if strings.Contains(low, w) {
			reason = health.ReasonNotFound
		}
	}
	return &health.Error{Reason: reason, Op: op, Err: &statusError{code: http.StatusOK, msg: msg}}
}

// into decodes a resource.
func (v *visit) into(uri string, dst any) *health.Error {
	raw, e := v.get(uri)
	if e != nil {
		return e
	}
	if err := decode(raw, dst); err != nil {
		return &health.Error{Reason: health.ReasonMalformed, Op: "GET " + uri, Err: err}
	}
	return nil
}

// parallelFrom is how many documents justify a second connection.
const parallelFrom = 6

// prefetch fetches resources into the visit's documents, two at a time when there are many.
func (v *visit) prefetch(uris []string) {
	var todo []string
	v.mu.Lock()
	for _, u := range uris {
		if _, ok := v.docs[u]; !ok && u != "" && !slices.Contains(todo, u) {
			todo = append(todo, u)
		}
	}
	v.mu.Unlock()
	if len(todo) < parallelFrom || !v.readAny() || v.c.quirk(quirk.OneRequest) {
		for _, u := range todo {
			_, _ = v.get(u)
		}
		return
	}
	next := make(chan string)
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for u := range next {
				_, _ = v.get(u)
			}
		})
	}
	for _, u := range todo {
		next <- u
	}
	close(next)
	wg.Wait()
}

// gap notes what was not read. A place or component has one gap per visit.
func (v *visit) gap(part string, e *health.Error, place string, id health.ComponentID) {
	if errors.Is(e, errMissing) || errors.Is(e, errLater) {
		return // said when it was learned; nothing that should be there now was missed
	}
	if v.refused == nil && e.Reason != health.ReasonNotFound {
		v.refused = e
	}
	key := place + "\x00" + string(id)
	if place == "" && id == "" {
		key = part
	}
	if v.gapSeen[key] {
		return
	}
	v.gapSeen[key] = true
	v.gaps = append(v.gaps, health.Gap{
		Part: cut(part, health.MaxText), Reason: e.Reason, Error: cut(e.Error(), health.MaxText), Place: place, Component: id,
	})
}

// inScope notes a place as read whole.
func (v *visit) inScope(place string) { v.scope[place] = true }

func (v *visit) snapshot() *health.Snapshot {
	s := &health.Snapshot{
		Target: v.c.id, Driver: health.DriverRedfish, At: v.at, Tiers: v.req.Tiers,
		HostPower: v.hostPower, Identity: v.identity, Gaps: v.gaps, Log: v.log, Logs: v.logs,
	}
	v.union.finish(s)
	for p := range v.scope {
		s.Scope = append(s.Scope, p)
	}
	slices.Sort(s.Scope)
	if len(v.cursors) > 0 {
		s.NextCursors = v.cursors
	}
	if v.readAny() {
		v.learnOrigins()
		// Against what the collector holds, not what was given last: that may never have been committed.
		slices.Sort(v.mem.Missing) // two fetched at once may have come in either order
		if raw := v.mem.encode(); raw != nil && !bytes.Equal(raw, v.req.Memory) {
			s.Memory = raw
		}
	}
	return s
}
