package redfish

import (
	"cmp"
	"maps"
	"net/http"
	"path"
	"slices"
	"sort"
	"strings"

	"dewline/health"
)

const rootURI = "/redfish/v1"

// maxMembers bounds the members of one collection; the largest met is 300 sensors.
const maxMembers = 2000

// maxPages bounds the pages of one collection.
const maxPages = 64

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

type collectionDoc struct {
	Type    text `json:"@odata.type"`
	Members many[memberRef]
	Count   number `json:"Members@odata.count"`
	Next    link   `json:"@odata.nextLink"`
	Next2   link   `json:"Members@odata.nextLink"`
	// iLO 4 before Redfish conformance.
	Links object[struct {
		Member many[link] `json:"Member"`
	}] `json:"links"`
}

// memberRef is a member: its link, and its body if the service put it in.
type memberRef struct {
	uri  link
	body []byte
}

func (m *memberRef) UnmarshalJSON(b []byte) error {
	m.uri, m.body = "", nil
	n := 0
	eachKey(b, func(key string, value []byte) {
		switch {
		case key == "@odata.id" && m.uri == "":
			_ = m.uri.UnmarshalJSON(value)
		case !strings.HasPrefix(key, "@") && key != "href":
			n++
		}
	})
	if m.uri == "" { // no object, or its link is written in another way
		_ = m.uri.UnmarshalJSON(b)
	}
	if n > 1 { // an Id alone is no body
		m.body = slices.Clone(b)
	}
	return nil
}

// eachKey calls f for the keys of a JSON object, with what follows each: a quoted string up to its end, else the rest. The
// text must be valid; expanded collections are the larger part of what is read, and this is a pass without decoding.
func eachKey(b []byte, f func(key string, value []byte)) {
	depth := 0
	var key []byte // waiting for its value
	expect := false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if depth == 1 && key != nil && c != ':' && c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			end := len(b)
			if c == '"' {
				end = closing(b, i) + 1
			}
			f(string(key), b[i:min(end, len(b))])
			key = nil
		}
		switch c {
		case '{', '[':
			depth++
			expect = depth == 1 && c == '{'
		case '}', ']':
			depth--
		case ',':
			expect = depth == 1
		case '"':
			end := closing(b, i)
			if expect && depth == 1 {
				key, expect = b[i+1:min(end, len(b))], false
			}
			i = end
		}
	}
}

// closing is where a quoted string that begins at i ends.
func closing(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(b []byte) error { *r = b; return nil }

// single reports whether what a link to a collection leads to is the one resource itself, as some firmware has it.
func single(d *collectionDoc) bool {
	return d.Type != "" && !strings.Contains(string(d.Type), "Collection") && !d.Count.OK && len(d.Links.V.Member) == 0
}

// members lists a collection's members, in its order, each once, over all its pages. A page that comes again or leads
// elsewhere ends the list. Inline bodies become documents of the visit when inline is set.
func (v *visit) members(uri string, inline bool) ([]string, *health.Error) {
	var list []string
	seen, pages := map[string]bool{}, map[string]bool{}
	for page := uri; page != ""; {
		if pages[page] || len(pages) >= maxPages {
			return list, &health.Error{Reason: health.ReasonMalformed, Op: "GET " + uri, Err: errPages}
		}
		pages[page] = true
		var d collectionDoc
		if e := v.into(page, &d); e != nil {
			return list, e
		}
		refs := d.Members
		if len(refs) == 0 && page == uri && single(&d) {
			return []string{uri}, nil
		}
		for _, l := range d.Links.V.Member {
			refs = append(refs, memberRef{uri: l})
		}
		for _, m := range refs {
			u := resolve(v.c.base, m.uri)
			if u == "" || seen[u] || strings.HasPrefix(uri+"/", u+"/") {
				continue // another host, twice (Intel lists one drive 32 times), or the collection itself
			}
			if len(list) >= maxMembers {
				return list, &health.Error{Reason: health.ReasonTooLarge, Op: "GET " + uri, Err: errMembers}
			}
			seen[u] = true
			list = append(list, u)
			if inline && len(m.body) > 0 {
				v.mu.Lock()
				if _, ok := v.docs[u]; !ok {
					v.docs[u] = &document{raw: m.body}
				}
				v.mu.Unlock()
				if uri == page && !strings.Contains(uri, "?") && !slices.Contains(v.mem.Inline, uri) && len(v.mem.Inline) < 256 {
					v.mem.Inline = append(v.mem.Inline, uri)
					slices.Sort(v.mem.Inline)
				}
			}
		}
		next := d.Next
		if next == "" {
			next = d.Next2
		}
		page = resolve(v.c.base, next)
		if len(refs) == 0 {
			page = ""
		}
	}
	return list, nil
}

type resourceDoc struct {
	ID           text `json:"Id"`
	Manufacturer text
	Model        text
	ChassisType  text
	SerialNumber text
	LogServices  link

	Storage, Storages, SimpleStorage, Memory, Processors                                  link
	Thermal, Power, ThermalSubsystem, PowerSubsystem, Sensors, EnvironmentMetrics, Drives link
	LeakDetectors, NetworkAdapters                                                        link
	PowerSupplies                                                                         link
	LeakDetection, Metrics, Pumps                                                         link
	PCIeDevices                                                                           many[link]
	FirmwareVersion                                                                       text
	Oem                                                                                   object[oemLinks]
	Links                                                                                 object[struct{ Chassis, ComputerSystems, Contains, Drives many[link] }]
}

type oemLinks struct {
	Alarms link // Cray EX: Chassis/Enclosure/Oem/Alarms
	Hpe    object[struct {
		Links object[struct{ SmartStorage link }]
	}]
	Hp object[struct {
		Links object[struct{ SmartStorage link }] `json:"links"`
	}]
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
		wanted[parent(u)]++
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
			URI: u, Logs: v.link(d.LogServices), Storage: v.link(cmp.Or(d.Storage, d.Storages)), SimpleStorage: v.link(d.SimpleStorage),
			Memory: v.link(d.Memory), Processors: v.link(d.Processors), SmartStorage: v.link(d.Oem.V.Hpe.V.Links.V.SmartStorage),
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
		c.Sensors, c.Env, c.Leaks = v.link(d.Sensors), v.link(d.EnvironmentMetrics), v.link(d.LeakDetectors)
		c.Alarms, c.Drives, c.Adapters = v.link(d.Oem.V.Alarms), v.link(d.Drives), v.link(d.NetworkAdapters)
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
