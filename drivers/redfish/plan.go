package redfish

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dewline/health"
	"dewline/internal/quirk"
)

var (
	errPages   = errors.New("the pages of the collection do not end")
	errMembers = fmt.Errorf("collection of more than %d members", maxMembers)
)

// run reads what the request's tiers need. The error is a *health.Error: nothing could be read.
func (v *visit) run() error {
	if err := v.c.prepare(); err != nil {
		return err
	}
	if e := v.plan(); e != nil && !v.anythingRead() {
		return e
	}
	if e := v.failed(); e != nil {
		if !v.anythingRead() {
			return e
		}
		// The rest of the visit was not read: one gap for all of it, beside those that name their places.
		v.gap("visit", e, "", "")
	}
	if v.refused != nil && !v.anythingRead() {
		return v.refused // a BMC that answers, and answers nothing: an iDRAC that starts refuses every document
	}
	return nil
}

// anythingRead reports whether the visit brought any health data: the service root alone, which needs no password, is
// none, and neither is a log that is known and was not read.
func (v *visit) anythingRead() bool {
	return len(v.union.list) > 0 || v.logRead || v.hostPower != health.HostPowerUnknown
}

func (v *visit) plan() *health.Error {
	t := v.req.Tiers
	fresh := len(v.mem.Chassis) == 0 && len(v.mem.Systems) == 0
	if fresh || v.mem.Stale || t.Has(health.TierInventory) {
		if e := v.discover(); e != nil {
			return e
		}
	} else if e := v.login(); e != nil {
		return e
	}
	v.full = t.Has(health.TierHealth) || t.Has(health.TierInventory) || !v.mem.Learned && t.Has(health.TierReadings)

	var broken *health.Error
	if t.Has(health.TierReadings) || t.Has(health.TierHealth) || t.Has(health.TierInventory) {
		broken = v.readSystems()
		if v.full {
			v.readChassisDocs()
			v.readManagers()
		}
		v.readTrees()
	}
	v.unhurry(true)
	if t.Has(health.TierHealth) {
		v.readHealth()
	}
	if t.Has(health.TierInventory) {
		v.readPCIe()
	}
	v.settle()
	v.unhurry(false)
	if t.Has(health.TierEvents) {
		if v.mem.Logs == nil {
			v.discoverLogs()
		}
		v.readLogs()
	}
	return broken
}

// readTrees reads what is measured and watched: chassis by chassis, the legacy trees first, since they name the parts.
func (v *visit) readTrees() {
	gapsBefore := len(v.gaps)
	var uris []string
	for _, c := range v.mem.Chassis {
		uris = append(uris, c.Thermal, c.Power)
		if v.full {
			uris = append(uris, v.unknown(c.Cooling), v.unknown(c.Supply), v.unknown(c.Env))
		}
	}
	v.prefetch(slices.DeleteFunc(uris, func(u string) bool { return u == "" }))
	if v.full && v.mem.Learned {
		v.direct(v.pressing())
	}
	for i := range v.mem.Chassis {
		c := &v.mem.Chassis[i]
		if c.Thermal != "" {
			v.readThermal(c)
		}
		if c.Power != "" {
			v.readPower(c)
		}
	}
	for i := range v.mem.Chassis {
		c := &v.mem.Chassis[i]
		if c.Cooling != "" {
			v.readCooling(c, v.full)
		}
		if c.Supply != "" {
			v.readSupply(c, v.full)
		}
		if c.Leaks != "" && v.full {
			uris, ok := v.collection(c.Leaks, "leaks")
			for _, u := range uris {
				if !slices.Contains(c.Leak, u) {
					c.Leak = append(c.Leak, u)
				}
			}
			if v.readDetectors(c.URI, c.Leaks, uris) && ok {
				v.inScope(c.Leaks)
			}
		}
		if !v.full {
			v.readLearnedLeaks(c.URI, c.Leak)
		}
		if c.Alarms != "" {
			v.readAlarms(c)
		}
		if c.Sensors != "" {
			v.readSensors(c.URI, c.Sensors, v.full)
		}
		if c.Temps != "" && !v.full {
			v.readTemps(c)
		}
	}
	for i := range v.mem.Chassis {
		c := &v.mem.Chassis[i]
		if c.Env == "" {
			continue
		}
		if v.full {
			c.EnvOften = v.readEnv(c.URI, c.Env)
		} else if c.EnvOften {
			v.readEnv(c.URI, c.Env)
		}
	}
	for i := range v.mem.Units {
		v.readUnit(&v.mem.Units[i], v.full)
	}
	if v.full && !v.brief() {
		v.chooseTemps()
		v.boundOften()
		// Learned only from a visit in which nothing that names parts was missing.
		if !slices.ContainsFunc(v.gaps[gapsBefore:], func(g health.Gap) bool { return g.Reason != health.ReasonNotFound }) && v.failed() == nil {
			v.mem.Learned = true
		}
	}
}

// prove compares, once per firmware and collection, and in a visit that looks at everything anew, what $expand answers with what the members say one by one: iDRAC has
// sent invalid JSON, Huawei and AMI leave fields out (check_redfish #69, #151; nv-redfish bmc_quirks.rs).
func (v *visit) prove(place string, uris []string) {
	_, known := v.mem.Expand[place]
	if known || strings.Contains(place, "#") || v.mem.Root.Expand == "" || len(uris) == 0 || v.denies || slices.Contains(v.mem.Inline, place) || v.c.quirk(quirk.NoExpand) {
		return
	}
	truth, proof, bare := v.expandTrue(place, uris)
	if !proof || v.failed() != nil {
		return
	}
	v.mem.Expand[place] = truth
	if bare {
		v.ignored++
	}
	if v.ignored == 2 { // the service says it can, and does not or not in time: ask no more
		v.mem.Root.Expand = ""
		clear(v.mem.Expand)
		v.mem.ExpandIgnored = true
	}
}

// pressing are the members that the readings tier reads: a visit of more tiers reads them first.
func (v *visit) pressing() []string {
	var l []string
	for _, c := range v.mem.Chassis {
		l = slices.Concat(l, c.Fans, c.Supplies, c.Leak)
	}
	for _, u := range v.mem.Units {
		l = append(l, u.Leaks...)
	}
	var often []string
	for u, k := range v.mem.Sensors {
		if k.Often && !k.Covered {
			often = append(often, u)
		}
	}
	slices.Sort(often)
	return append(l, often...)
}

// slowExpand is how long an expanded answer may take to be worth it: a BMC that works on it for longer answers nobody
// else meanwhile.
const slowExpand = 5 * time.Second

// expandTrue compares one expanded collection with its members. A place of which a member cannot be read proves nothing.
// bare says that the answer had no bodies at all, or took too long to be of use.
func (v *visit) expandTrue(place string, uris []string) (truth, proof, bare bool) {
	before := map[string][]byte{}
	v.prefetch(uris)
	for _, u := range uris {
		raw, e := v.get(u)
		if e != nil {
			return false, false, false
		}
		before[u] = raw
	}
	start := v.c.o.Now()
	raw, e := v.get(place + "?" + v.mem.Root.Expand)
	if e != nil || v.c.o.Now().Sub(start) > slowExpand {
		return false, true, false
	}
	var d collectionDoc
	if decode(raw, &d) != nil || len(d.Members) != len(uris) {
		return false, true, false // also when the expanded answer comes in pages
	}
	if !slices.ContainsFunc(d.Members, func(m memberRef) bool { return len(m.body) > 0 }) {
		return false, true, true
	}
	for _, m := range d.Members {
		one, ok := before[resolve(v.c.base, m.uri)]
		if !ok || !sameShape(one, m.body) {
			return false, true, false
		}
	}
	return true, true, false
}

// changing are the fields whose values differ between two reads of the same resource.
var changing = []string{"Reading", "SpeedRPM", "ReadingTime", "PeakReading", "PeakReadingTime", "LowestReading", "LowestReadingTime", "AverageReading", "LifetimeReading"}

// sameShape reports whether two bodies of one resource have the same fields, and the same values in those that stand.
func sameShape(a, b []byte) bool {
	var x, y map[string]rawJSON
	if decode(a, &x) != nil || decode(b, &y) != nil {
		return false
	}
	for k, av := range x {
		if strings.HasPrefix(k, "@") {
			continue
		}
		bv, ok := y[k]
		if !ok {
			return false
		}
		if len(av) > 0 && av[0] != '{' && av[0] != '[' && !slices.Contains(changing, k) && !sameValue(av, bv) {
			return false
		}
	}
	return true
}

// sameValue compares two JSON scalars; 27.0 and 27 are the same.
func sameValue(a, b rawJSON) bool {
	if string(a) == string(b) {
		return true
	}
	var x, y number
	return a[0] != '"' && len(b) > 0 && b[0] != '"' && x.UnmarshalJSON(a) == nil && y.UnmarshalJSON(b) == nil && x.OK && y == x
}
