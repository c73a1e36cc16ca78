package redfish

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dewline/health"
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
	return nil
}

// anythingRead reports whether the visit brought any health data: the service root alone, which needs no password, is
// none.
func (v *visit) anythingRead() bool {
	return len(v.union.list) > 0 || len(v.logs) > 0 || v.hostPower != health.HostPowerUnknown
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
	if t.Has(health.TierHealth) {
		v.readHealth()
	}
	if t.Has(health.TierInventory) {
		v.readPCIe()
		v.probeExpand()
	}
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
			uris = append(uris, c.Cooling, c.Supply, c.Env)
		}
	}
	v.prefetch(slices.DeleteFunc(uris, func(u string) bool { return u == "" }))
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
	if v.full {
		v.boundOften()
		// Learned only from a visit in which nothing that names parts was missing.
		if !slices.ContainsFunc(v.gaps[gapsBefore:], func(g health.Gap) bool { return g.Reason != health.ReasonNotFound }) && v.failed() == nil {
			v.mem.Learned = true
		}
	}
}

// collection lists a collection's members and makes their bodies known to the visit: inline ones as they are, by one
// $expand where it was proven, otherwise left to be fetched one by one. It reports whether the list is whole; if not, the
// gap is noted.
func (v *visit) collection(place, kind string) ([]string, bool) {
	if v.mem.Expand[kind] && v.mem.Root.Expand != "" {
		uris, e := v.members(place+"?"+v.mem.Root.Expand, true)
		if e == nil {
			v.mu.Lock()
			v.docs[place] = v.docs[place+"?"+v.mem.Root.Expand]
			v.mu.Unlock()
			return v.sorted(uris), true
		}
		if v.failed() != nil {
			v.gap(place, e, place, "")
			return nil, false
		}
		v.mem.Expand[kind] = false // it told the truth once; ask plainly from now on
	}
	uris, e := v.members(place, true)
	if e != nil {
		v.gap(place, e, place, "")
		v.goneLink(e)
		return v.sorted(uris), false
	}
	return v.sorted(uris), true
}

// sorted drops what must not be read, and makes the order of a collection, which differs between requests on some
// firmware, that of the links.
func (v *visit) sorted(uris []string) []string {
	uris = v.allowed(uris)
	slices.Sort(uris)
	return uris
}

// probeExpand compares, once per firmware and kind of collection, what $expand answers with what the members say one by
// one: iDRAC has sent invalid JSON, Huawei and AMI leave fields out (check_redfish #69, #151; nv-redfish bmc_quirks.rs).
func (v *visit) probeExpand() {
	if v.mem.Root.Expand == "" || v.c.quirk("no-expand") {
		return
	}
	candidates := map[string][]string{}
	for _, c := range v.mem.Chassis {
		if c.Sensors != "" {
			candidates["sensors"] = append(candidates["sensors"], c.Sensors)
		}
	}
	for _, s := range v.mem.Systems {
		if s.Memory != "" {
			candidates["memory"] = append(candidates["memory"], s.Memory)
		}
	}
	for _, kind := range []string{"sensors", "memory"} {
		if _, known := v.mem.Expand[kind]; known {
			continue
		}
		for _, place := range candidates[kind] {
			uris, e := v.members(place, false)
			if e != nil || len(uris) < 2 {
				continue
			}
			v.mem.Expand[kind] = v.expandTrue(place, uris)
			if !v.mem.Expand[kind] {
				break
			}
		}
		if v.failed() != nil {
			delete(v.mem.Expand, kind)
			return
		}
	}
}

// slowExpand is how long an expanded answer may take to be worth it: a BMC that works on it for longer answers nobody
// else meanwhile.
const slowExpand = 5 * time.Second

// expandTrue compares one expanded collection with its members.
func (v *visit) expandTrue(place string, uris []string) bool {
	before := map[string][]byte{}
	for _, u := range uris {
		raw, e := v.get(u)
		if e != nil {
			return false
		}
		before[u] = raw
	}
	query := place + "?" + v.mem.Root.Expand
	start := time.Now()
	raw, e := v.get(query)
	if e != nil || time.Since(start) > slowExpand {
		return false
	}
	var d collectionDoc
	if decode(raw, &d) != nil || len(d.Members) != len(uris) {
		return false // also when the expanded answer comes in pages
	}
	for _, m := range d.Members {
		one, ok := before[resolve(v.c.base, m.uri)]
		if !ok || !sameShape(one, m.body) {
			return false
		}
	}
	return true
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
		if len(av) > 0 && av[0] != '{' && av[0] != '[' && !slices.Contains(changing, k) && string(av) != string(bv) {
			return false
		}
	}
	return true
}
