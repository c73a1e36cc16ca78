package redfish

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"path"
	"slices"
	"sort"
	"strings"

	"dewline/health"
)

const rootURI = "/redfish/v1"

type rootDoc struct {
	Vendor, Product, RedfishVersion, UUID                                    text
	Systems, Chassis, Managers, ThermalEquipment, PowerEquipment, Facilities link
	SessionService                                                           link
	Oem                                                                      object[map[string]oemRoot]
	Links                                                                    object[struct{ Sessions link }]
	ProtocolFeaturesSupported                                                object[struct {
		ExpandQuery object[struct {
			NoLinks, ExpandAll, Levels flag
		}]
	}]
}

// readRoot reads the service root, which needs no authentication (DSP0266 section 13.3.2).
func (v *visit) readRoot() (rootDoc, *health.Error) {
	var d rootDoc
	if e := v.into(rootURI, &d); e != nil {
		return d, e
	}
	x := d.ProtocolFeaturesSupported.V.ExpandQuery.V
	r := root{Vendor: string(d.Vendor), Product: string(d.Product), Version: string(d.RedfishVersion)}
	switch {
	case v.mem.ExpandIgnored:
	case x.NoLinks.V:
		r.Expand = "$expand=."
	case x.ExpandAll.V:
		r.Expand = "$expand=*"
	}
	if r.Expand != "" && x.Levels.V {
		r.Expand += "($levels=1)"
	}
	v.mem.Root = r
	for name, o := range d.Oem.V { // iLO 4 and iDRAC 8 name their vendor here alone
		v.mem.Makers = called(v.mem.Makers, text(clean(name)))
		for _, m := range o.Manager {
			v.mem.Models = called(v.mem.Models, m.ManagerType)
		}
	}
	if v.mem.Sessions == "" {
		if u := resolve(v.c.base, d.Links.V.Sessions); isSessions(u) {
			v.mem.Sessions = u
		}
	}
	// Members that AMI and other firmware leaves out of the root stand at their usual places (nv-redfish bmc_quirks.rs).
	for l, usual := range map[*link]string{&d.Systems: "Systems", &d.Chassis: "Chassis", &d.Managers: "Managers"} {
		if *l == "" {
			*l = link(rootURI + "/" + usual)
		}
	}
	return d, nil
}

// oemRoot is what a vendor adds to the service root; HPE names its manager there.
type oemRoot struct {
	Manager many[struct{ ManagerType text }]
}

func (o *oemRoot) UnmarshalJSON(b []byte) error {
	type plain oemRoot
	var p object[plain]
	_ = p.UnmarshalJSON(b)
	*o = oemRoot(p.V)
	return nil
}

// discover learns which resources there are. What cannot be read becomes a gap and keeps what was learned before.
func (v *visit) discover() *health.Error {
	v.learning = true
	v.mem.Missing = nil
	r, e := v.readRoot()
	if e != nil {
		return e
	}
	if e := v.login(); e != nil {
		return e
	}
	old := *v.mem
	sys, e1 := v.listAll(r.Systems)
	if e1 != nil && v.failed() != nil {
		return e1
	}
	cha, e2 := v.listAll(r.Chassis)
	man, e3 := v.listAll(r.Managers)
	v.prefetch(slices.Concat(sys, cha, man))

	complete := e1 == nil && e2 == nil && e3 == nil
	if e1 == nil {
		v.mem.Systems = v.discoverSystems(sys, old.Systems)
	}
	if e3 == nil {
		v.mem.Managers = v.discoverManagers(man, old.Managers)
	}
	if e2 == nil {
		v.mem.Chassis = v.discoverChassis(cha, old.Chassis)
	}
	v.chooseHost()
	v.choosePrimary(sys)
	v.discoverUnits(r)
	v.mem.Stale = !complete
	if e := v.failed(); e != nil {
		return e
	}
	v.checkFirmware()
	if v.req.Tiers.Has(health.TierEvents) || v.req.Tiers.Has(health.TierInventory) {
		v.discoverLogs()
	}
	return nil
}

// direct prepares to read learned members without their collection: where the collection carries their bodies, by itself or
// by $expand, it is the one request to make, and some firmware has no other resource for them.
func (v *visit) direct(uris []string) {
	wanted := map[string]int{}
	for _, u := range uris {
		wanted[v.placeOf(u)]++
	}
	for _, place := range slices.Sorted(maps.Keys(wanted)) {
		switch {
		case slices.Contains(v.mem.Inline, place):
			_, _ = v.members(place, true)
		case v.proven(place) && wanted[place] > 1:
			_, _ = v.expanded(place)
		}
	}
	v.prefetch(uris)
}

func (v *visit) listAll(l link) ([]string, *health.Error) {
	uri := resolve(v.c.base, l)
	if uri == "" {
		return nil, nil
	}
	list, e := v.members(uri, false)
	if e != nil {
		if e.Reason == health.ReasonNotFound {
			return list, nil // a service without Systems (power shelf, PDU) is whole
		}
		v.gap(uri, e, "", "")
		if errors.Is(e, errShort) {
			e = nil // what it does list is there
		}
	}
	sort.Strings(list) // the order of a collection is not stable over requests on every firmware
	return v.allowed(list), e
}

// allowed drops the paths that must not be read.
func (v *visit) allowed(uris []string) []string {
	return slices.DeleteFunc(slices.Clone(uris), func(u string) bool { return v.c.deniedPath(u) })
}

func (v *visit) discoverSystems(uris []string, old []system) []system {
	var l []system
	for _, u := range uris {
		var d resourceDoc
		if e := v.into(u, &d); e != nil {
			v.gap(u, e, u, "")
			if i := slices.IndexFunc(old, func(s system) bool { return s.URI == u }); i >= 0 {
				l = append(l, old[i])
			}
			continue
		}
		v.mem.Makers, v.mem.Models = called(v.mem.Makers, d.Manufacturer), called(v.mem.Models, d.Model)
		s := system{
			URI: u, Logs: v.link(d.LogServices), Storage: cmp.Or(v.collectionAt(u, "Storage", d.Storage), v.collectionAt(u, "Storages", d.Storages)),
			SimpleStorage: v.collectionAt(u, "SimpleStorage", d.SimpleStorage), Memory: v.collectionAt(u, "Memory", d.Memory), Processors: v.collectionAt(u, "Processors", d.Processors), SmartStorage: v.link(d.Oem.V.Hpe.V.Links.V.SmartStorage),
		}
		if s.SmartStorage == "" {
			s.SmartStorage = v.link(d.Oem.V.Hp.V.Links.V.SmartStorage)
		}
		if i := slices.IndexFunc(old, func(s system) bool { return s.URI == u }); i >= 0 {
			s.DrivesBy, s.VolumesBy = old[i].DrivesBy, old[i].VolumesBy // checkFirmware forgets them
		}
		l = append(l, s)
	}
	return l
}

func (v *visit) discoverManagers(uris []string, old []manager) []manager {
	var l []manager
	for _, u := range uris {
		var d resourceDoc
		if e := v.into(u, &d); e != nil {
			v.gap(u, e, u, "")
			if i := slices.IndexFunc(old, func(s manager) bool { return s.URI == u }); i >= 0 {
				l = append(l, old[i])
			}
			continue
		}
		v.mem.Makers, v.mem.Models = called(v.mem.Makers, d.Manufacturer), called(v.mem.Models, d.Model)
		l = append(l, manager{URI: u, Logs: v.link(d.LogServices)})
	}
	return l
}

func (v *visit) discoverChassis(uris []string, old []chassis) []chassis {
	var l []chassis
	// A chassis that others contain and the collection does not list is still one; some firmware nests them.
	for i := 0; i < len(uris) && len(uris) < maxMembers; i++ {
		u := uris[i]
		var d resourceDoc
		e := v.into(u, &d)
		at := slices.IndexFunc(old, func(c chassis) bool { return c.URI == u })
		if e != nil {
			v.gap(u, e, u, "")
			if at >= 0 {
				l = append(l, old[at])
			}
			continue
		}
		c := chassis{}
		if at >= 0 {
			c = old[at] // keep what was learned by merging
		}
		c.URI, c.ID, c.Logs = u, segment(u), v.link(d.LogServices)
		c.Thermal, c.Power = v.link(d.Thermal), v.link(d.Power)
		c.Cooling, c.Supply = v.link(d.ThermalSubsystem), v.link(d.PowerSubsystem)
		c.Sensors, c.Env, c.Leaks = v.collectionAt(u, "Sensors", d.Sensors), v.link(d.EnvironmentMetrics), v.collectionAt(u, "LeakDetectors", d.LeakDetectors)
		c.Alarms, c.Drives, c.Adapters = v.link(d.Oem.V.Alarms), v.collectionAt(u, "Drives", d.Drives), v.collectionAt(u, "NetworkAdapters", d.NetworkAdapters)
		c.Linked = nil
		for _, x := range d.Links.V.Drives { // before there was a collection of them
			if u := v.link(x); c.Drives == "" && u != "" && !slices.Contains(c.Linked, u) {
				c.Linked = append(c.Linked, u)
			}
		}
		c.PCIe = ""
		if len(d.PCIeDevices) == 1 { // a list of links is the old form; the collection replaced it
			c.PCIe = v.link(d.PCIeDevices[0])
		}
		l = append(l, c)
		for _, x := range d.Links.V.Contains {
			if n := v.link(x); n != "" && !slices.Contains(uris, n) && strings.Contains(n, "/Chassis/") {
				uris = append(uris, n)
			}
		}
	}
	slices.SortFunc(l, func(a, b chassis) int { return strings.Compare(a.URI, b.URI) })
	return l
}

// choosePrimary picks the chassis whose parts are named without it: the one a system stands in, of those the one with the
// most to read. The choice is kept: a chassis added later renames nothing.
func (v *visit) choosePrimary(systems []string) {
	if slices.ContainsFunc(v.mem.Chassis, func(c chassis) bool { return c.URI == v.mem.Primary }) || len(v.mem.Chassis) == 0 {
		return
	}
	linked := map[string]bool{}
	for _, s := range systems {
		var d resourceDoc
		if v.into(s, &d) == nil {
			for _, l := range d.Links.V.Chassis {
				linked[v.link(l)] = true
			}
		}
	}
	best, bestScore := "", -1
	for _, c := range v.mem.Chassis {
		score := 0
		for _, x := range []string{c.Thermal, c.Power, c.Cooling, c.Supply, c.Sensors} {
			if x != "" {
				score += 2
			}
		}
		if linked[c.URI] {
			score += 5
		}
		if score > bestScore {
			best, bestScore = c.URI, score
		}
	}
	v.mem.Primary = best
}

// link resolves a link for the memory: elsewhere and harmful ones are none.
func (v *visit) link(l link) string {
	u := resolve(v.c.base, l)
	if u == "" || v.c.deniedPath(u) {
		return ""
	}
	return u
}

// segment is the last part of a path, unescaped by nobody: it is an identity, not a text.
func segment(uri string) string {
	uri, _, _ = strings.Cut(uri, "?")
	return path.Base(uri)
}

// login is the client's, with the visit's end on refusal.
func (v *visit) login() *health.Error {
	if err := v.c.login(v.ctx, v); err != nil {
		e := classify(v.ctx, "log in", err)
		v.fail(e)
		return e
	}
	return nil
}

func statusCode(e *health.Error) int {
	if se, ok := e.Err.(*statusError); ok {
		return se.code
	}
	if e.Reason == health.ReasonNotFound {
		return http.StatusNotFound
	}
	return 0
}
