package ipmi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bougou/go-ipmi/pkg/crypto"

	"dewline/health"
	"dewline/internal/quirk"
	"dewline/internal/secret"
)

// Options of a client. Address and Username are needed; the rest has defaults.
type Options struct {
	Address      string // ipmi://HOST[:PORT] or HOST[:PORT]; an IPv6 address in brackets; port 623 by default
	Username     string // at most 16 bytes; empty is the anonymous user
	Password     secret.Secret
	Privilege    string        // user (default), operator, admin: what the session asks for
	CipherSuites []int         // in order of preference; default 17, 3
	Log          *slog.Logger  // default: none
	Timeout      time.Duration // of one datagram, before it is sent again; default 1 s
	Quirks       []quirk.Quirk // rows beside those of Quirks
	QuirksOff    []string      // names of rows that are off

	// Exchange, if set, is given what runs commands on the BMC and gives what is used in its place: a recorder in front of
	// it, or a recording instead of it.
	Exchange func(Exchange) Exchange
	Now      func() time.Time // nil: time.Now; a replay tells the time of its recording
	Leaks    []LeakProfile    // what is known of the polarity of leak sensors
}

const (
	defaultPort    = "623"
	defaultTimeout = time.Second
)

var privileges = map[string]uint8{"": privUser, "user": privUser, "operator": privOperator, "admin": privAdmin}

// Client reads one BMC. Its methods may be called from any goroutine, one at a time.
type Client struct {
	id   health.TargetID
	log  *slog.Logger
	mu   sync.Mutex
	link *link
	tap  func(Exchange) Exchange // nil: none
	now  func() time.Time
	rows quirk.Table

	leaks []LeakProfile

	mem     *memory         // as of the last visit
	memJSON json.RawMessage // the same, as it was given away
	checked time.Time       // when the repository's stamp was last compared
	from    int             // visit.from
}

// Open makes a client; it does no I/O.
func Open(id health.TargetID, o Options) (*Client, error) {
	address, err := hostPort(o.Address)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", id, err)
	}
	privilege, ok := privileges[o.Privilege]
	if !ok {
		return nil, fmt.Errorf("open %s: privilege %q is none of user, operator, admin", id, o.Privilege)
	}
	if len(o.Username) > 16 {
		return nil, fmt.Errorf("open %s: username is longer than the 16 bytes of IPMI", id)
	}
	if len(o.Password.Reveal()) > 20 {
		return nil, fmt.Errorf("open %s: password is longer than the 20 bytes of IPMI 2.0", id)
	}
	wanted := o.CipherSuites
	if len(wanted) == 0 {
		wanted = []int{17, 3}
	}
	for _, s := range wanted {
		if _, ok := suiteByID(s); !ok {
			return nil, fmt.Errorf("open %s: cipher suite %d is not supported, only 3 and 17 authenticate and encrypt", id, s)
		}
	}
	rows, err := quirks.With(o.Quirks, o.QuirksOff)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", id, err)
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	timeout := o.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	log = log.With("target", string(id), "driver", health.DriverIPMI)
	password := o.Password
	now := o.Now
	if now == nil {
		now = time.Now
	}
	return &Client{id: id, log: log, rows: rows, leaks: slices.Clone(o.Leaks), tap: o.Exchange, now: now, link: &link{address: address, log: log, login: login{
		user: o.Username, password: func() []byte { return crypto.PadPassword20([]byte(password.Reveal())) },
		privilege: privilege, suites: slices.Clone(wanted), timeout: timeout,
	}}}, nil
}

// hostPort is the address to dial.
func hostPort(address string) (string, error) {
	rest, found := strings.CutPrefix(address, "ipmi://")
	if !found && strings.Contains(address, "://") {
		return "", fmt.Errorf("address %q is not ipmi://HOST[:PORT]", address)
	}
	rest = strings.TrimSuffix(rest, "/")
	if rest == "" || strings.ContainsAny(rest, "/@?# ") {
		return "", fmt.Errorf("address %q is not ipmi://HOST[:PORT]", address)
	}
	if ip := net.ParseIP(rest); ip != nil { // also a bare IPv6 address
		return net.JoinHostPort(rest, defaultPort), nil
	}
	if strings.HasPrefix(rest, "[") && strings.HasSuffix(rest, "]") {
		rest += ":" + defaultPort
	} else if !strings.Contains(rest, ":") {
		rest += ":" + defaultPort
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", address, err)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return "", fmt.Errorf("address %q is not ipmi://HOST[:PORT]", address)
	}
	return net.JoinHostPort(host, port), nil
}

// Close ends the session at the BMC, if there is one. The client can be used again afterwards.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.close(ctx)
}

// visit is one reading of a BMC: what was asked, by what means, and what has come so far.
type visit struct {
	c     caller
	req   health.Request
	snap  *health.Snapshot
	mem   *memory
	now   time.Time // when it began
	clock func() time.Time
	log   *slog.Logger
	rows  quirk.Table
	// leaks is what is known of the polarity of leak sensors.
	leaks []LeakProfile
	// checkSDR: compare the repository's stamp also outside the tiers that always do.
	checkSDR bool
	any      bool          // something was read
	stale    bool          // the records are of a repository that is another by now
	most     time.Duration // that its deadline left it when it began; 0: it has none
	// from is where the sensors that are read in turn go on.
	from     int
	fruReads int // requests for FRU data so far
}

func (v *visit) gap(g health.Gap) { v.snap.Gaps = append(v.snap.Gaps, g) }

func (v *visit) scope(place string) {
	v.any = true
	v.snap.Scope = append(v.snap.Scope, place)
}

// sdrCheckEvery is how old a comparison of the repository's stamp may grow in visits of the readings tier alone.
const sdrCheckEvery = 10 * time.Minute

// Read reads what the tiers ask for. The snapshot is always there, also beside an error, and counts what the visit cost; an
// error, a *health.Error, means that nothing could be read.
func (c *Client) Read(ctx context.Context, req health.Request) (*health.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	started := c.now()
	snap := &health.Snapshot{Target: c.id, Driver: health.DriverIPMI, At: started, Tiers: req.Tiers}
	var count tally
	c.recall(req.Memory)
	c.link.begin(&count)
	c.link.suite = c.mem.Suite
	v := &visit{c: c.caller(), req: req, snap: snap, mem: c.mem, now: started, clock: c.now, log: c.log, rows: c.rows, leaks: c.leaks, checkSDR: started.Sub(c.checked) >= sdrCheckEvery, from: c.from}
	err := v.run(ctx)
	c.from = v.from
	if v.checkSDR && c.mem.SDR != nil {
		c.checked = started
	}
	c.mem.Suite = c.link.suite
	if raw, merr := json.Marshal(c.mem); merr != nil {
		c.log.Error("cannot keep memory", "error", merr)
	} else {
		c.memJSON = raw
		if !bytes.Equal(raw, req.Memory) && (err == nil || v.any) {
			snap.Memory = raw
		}
	}
	snap.Cost = count.cost
	snap.Took = c.now().Sub(started)
	for _, why := range slices.Sorted(maps.Keys(count.dropped)) {
		c.log.Debug("dropped datagrams", "why", why, "count", count.dropped[why])
	}
	if err != nil && !v.any {
		return snap, err
	}
	return snap, nil
}

// recall takes up what earlier visits learned: from the request, which holds what was committed, unless that is what this
// client holds already. Without memory in the request the client's own serves on: a repository is the BMC's, not the store's.
func (c *Client) recall(raw json.RawMessage) {
	if c.mem != nil && (len(raw) == 0 || bytes.Equal(raw, c.memJSON)) {
		return
	}
	m, err := loadMemory(raw)
	if err != nil {
		c.log.Warn("learning anew", "error", err)
	}
	m.SDR.confirm(c.leaks)
	c.mem = m
}

// run goes through the tiers, the urgent parts first, until all is read or nothing more can be.
func (v *visit) run(ctx context.Context) error {
	var first error
	note := func(err error) bool { // tells whether to go on
		if err == nil {
			return true
		}
		if first == nil {
			first = err
		}
		return ctx.Err() == nil && isAnyCode(err) || isRecordError(err)
	}
	tiers := v.req.Tiers
	if d, bound := ctx.Deadline(); bound {
		v.most = d.Sub(v.clock())
	}
	ok := note(v.knowDevice(ctx))
	if ok && tiers.Has(health.TierReadings) {
		ok = note(v.readChassis(ctx))
	}
	if ok && (tiers.Has(health.TierReadings) || tiers.Has(health.TierHealth) || tiers.Has(health.TierInventory) || tiers.Has(health.TierEvents) && v.mem.SDR == nil) {
		ok = note(v.ensureSDR(ctx))
	}
	v.linkIntrusion()
	if tiers.Has(health.TierReadings) && v.mem.SDR != nil {
		err := v.readSensors(ctx, ok)
		ok = ok && note(err)
	}
	if ok && tiers.Has(health.TierReadings) {
		ok = note(v.readDCMI(ctx))
	}
	clock := tiers.Has(health.TierHealth)
	if tiers.Has(health.TierEvents) {
		if ok {
			ok = note(v.readSEL(ctx))
			if _, first := v.selCursor(); first && v.snap.NextCursors != nil {
				clock = true // what of a log that is met is news can only be told by its BMC's clock
			}
		} else {
			v.gap(health.Gap{Part: "system event log", Place: placeSEL, Reason: health.ReasonFor(first), Error: clip(errorText(first))})
		}
	}
	if ok && clock {
		ok = note(v.readClock(ctx))
	}
	if tiers.Has(health.TierInventory) {
		if ok {
			ok = note(v.readIdentity(ctx))
		}
		if ok && v.mem.SDR != nil {
			ok = note(v.readThresholds(ctx))
		}
		if ok {
			ok = note(v.readPowerLimit(ctx))
		}
		if !ok {
			v.gap(health.Gap{Part: "inventory", Place: placeFRU, Reason: health.ReasonFor(first), Error: clip(errorText(first))})
		}
	}
	return first
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// ensureSDR sees to it that the repository is known, and is still the BMC's.
func (v *visit) ensureSDR(ctx context.Context) error {
	repo := v.mem.SDR
	inventory := v.req.Tiers.Has(health.TierInventory)
	known := repo != nil && repo.Next == 0
	if known && !v.checkSDR && !inventory && !v.req.Tiers.Has(health.TierHealth) {
		return nil
	}
	v.checkSDR = true
	st, err := sdrStamp(ctx, v.c)
	if repo == nil && isCode(err, codeInvalidCommand, codeInvalidForLUN) {
		err = nil // an Artesyn ATCA-7367 does not tell of its repository, and has one
	}
	if err != nil {
		if repo == nil || !isAnyCode(err) {
			v.gap(health.Gap{Part: "SDR repository", Place: placeSDR, Reason: health.ReasonFor(err), Error: clip(err.Error())})
		}
		if repo != nil && isAnyCode(err) {
			return nil // the records we have still serve
		}
		return err
	}
	v.any = true
	same := repo != nil && st == repo.Stamp
	if same {
		repo.Churn = 0
	}
	if known && same && (st.trusted() || !inventory) {
		return nil
	}
	churn := 0
	if repo != nil && !same {
		// One that is another at every look is not read again at every look: that would be hundreds of requests a visit.
		churn = min(repo.Churn+1, churnLimit+1)
		if repo.Churn = churn; churn > churnLimit && !inventory {
			v.stale = true
			v.gap(health.Gap{
				Part: "SDR repository", Place: placeSDR, Reason: health.ReasonBudget,
				Error: "it changes at every visit: the records as last read serve on until the next inventory",
			})
			return nil
		}
	}
	if known {
		v.log.Info("SDR repository changed, reading it again", "records", st.Count)
	}
	if repo == nil && v.quirk(quirk.SmallReads) {
		repo = &repository{Chunk: smallChunk}
	}
	fresh, gaps, err := readRepository(ctx, v.c, st, repo)
	fresh.Churn = churn
	v.snap.Gaps = append(v.snap.Gaps, gaps...)
	if err != nil {
		v.gap(health.Gap{Part: "SDR repository", Place: placeSDR, Reason: health.ReasonFor(err), Error: clip(err.Error())})
		if known { // half a new repository is no match for a whole old one
			repo.Chunk = fresh.Chunk
			v.stale = true
			return err
		}
	}
	if fresh.Stamp != stampOf(repo) {
		v.mem.Thresholds = nil
	}
	fresh.confirm(v.leaks)
	v.mem.SDR = fresh
	return err
}

func stampOf(r *repository) stamp {
	if r == nil {
		return stamp{}
	}
	return r.Stamp
}

// readSensors reads every sensor once. When it is cut short, the rest is named as not read, and the place is out of scope.
func (v *visit) readSensors(ctx context.Context, ok bool) error {
	whole := ok && !v.stale && v.mem.SDR.Next == 0 && v.mem.SDR.Bad == 0
	var stopped error
	if !ok {
		stopped = errors.New("not reached")
	}
	order, always := v.turn()
	began, read, others := v.clock(), 0, 0
	for i, p := range order {
		inTurn := i >= always
		if stopped != nil {
			c := p.component()
			c.StateNotRead = true
			v.snap.Components = append(v.snap.Components, c)
			continue
		}
		if inTurn && others > 0 && v.spent(forOthers) { // one of them at least
			v.snap.Components = append(v.snap.Components, v.waits(p))
			continue
		}
		o, err := v.read(ctx, p)
		read++
		if inTurn {
			others++
			o.component.Tier, o.component.TierMoved = health.TierInventory, true
		}
		if err == nil || isAnyCode(err) {
			v.any = true
		}
		v.snap.Components = append(v.snap.Components, o.component)
		if o.reading != nil {
			v.snap.Readings = append(v.snap.Readings, *o.reading)
		}
		if o.gap != nil {
			v.gap(*o.gap)
		}
		if err != nil && !isAnyCode(err) && !isRecordError(err) && v.over(ctx) {
			stopped, whole = err, false
			v.gap(health.Gap{Part: "sensors after " + p.name, Place: placeSDR, Reason: health.ReasonFor(err), Error: clip(err.Error())})
		}
	}
	if whole {
		v.scope(placeSDR)
	}
	if !ok {
		return nil
	}
	if stopped == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		v.settle(began, read, others, always)
	}
	return stopped
}

// over tells whether nothing more can be asked in this visit.
func (v *visit) over(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true
	}
	switch c := v.c.(type) {
	case *link:
		return c.failed != nil
	case *tapped:
		return c.over()
	}
	return true
}
