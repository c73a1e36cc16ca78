package redfish

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"dewline/health"
)

// memoryVersion changes when the meaning of memory does; another version is learned anew.
const memoryVersion = 2

// memory is what was learned of one BMC. It holds no secret and no reading. Names (Primary, Same, Twins, Logs) outlive a
// new firmware, what a firmware does (Expand, Skip) does not.
type memory struct {
	V        int    `json:"v"`
	Firmware string `json:"fw,omitempty"`
	Root     root   `json:"root"`
	// What the machine calls its makers and itself, for the quirks.
	Makers   []string `json:"makers,omitempty"`
	Models   []string `json:"models,omitempty"`
	Sessions string   `json:"sessions,omitempty"` // where sessions are created

	NoSessions bool `json:"no_sessions,omitempty"`
	Learned    bool `json:"learned,omitempty"` // all trees were read once and merged
	Stale      bool `json:"stale,omitempty"`   // a learned link was gone: discover again

	Systems  []system  `json:"systems,omitempty"`
	Chassis  []chassis `json:"chassis,omitempty"`
	Managers []manager `json:"managers,omitempty"`
	Units    []unit    `json:"units,omitempty"`
	Primary  string    `json:"primary,omitempty"` // the chassis whose parts need no chassis in their ID
	Host     string    `json:"host,omitempty"`    // the system whose parts need no system in their ID
	Clock    string    `json:"clock,omitempty"`   // the manager whose clock is held against ours

	Same    map[string]alias     `json:"same,omitempty"`    // resource -> the part it states, where another resource names it
	Sensors map[string]sensorKey `json:"sensors,omitempty"` // sensor -> what it turned out to be
	Twins   map[string][]string  `json:"twins,omitempty"`   // place -> names that are no identity there
	Parts   map[string][]string  `json:"parts,omitempty"`   // document -> its arrays that listed parts
	Expand  map[string]bool      `json:"expand,omitempty"`  // collection -> $expand was compared and tells the truth
	Missing []string             `json:"missing,omitempty"` // links that led nowhere at the last discovery: not asked again until the next
	Inline  []string             `json:"inline,omitempty"`  // collections that carry their members' bodies unasked
	Listed  map[string]string    `json:"listed,omitempty"`  // member -> the array in a document that lists it in place of a collection
	Counts  map[string]*tally    `json:"counts,omitempty"`  // collection -> whether it counts what it lists
	Logs    []logService         `json:"logs,omitempty"`

	Slow      map[string]*slowPlace `json:"slow,omitempty"`       // collection -> read in turn
	SlowAfter string                `json:"slow_after,omitempty"` // the last member that had its turn

	ExpandIgnored bool                          `json:"expand_ignored,omitempty"` // the service offers $expand and answers without
	HostPower     string                        `json:"host_power,omitempty"`     // when Rosters and Containers were learned
	Metrics       map[string][]string           `json:"metrics,omitempty"`        // a supply's metrics -> where the sensors stand whose values they are
	OneController []string                      `json:"one_controller,omitempty"` // Controllers of which the Storage itself says the same
	Rosters       map[string]*roster            `json:"rosters,omitempty"`        // collection -> its members
	Containers    map[string]*container         `json:"containers,omitempty"`     // document -> the links that are all it says
	Origins       map[string]health.ComponentID `json:"origins,omitempty"`        // resource -> the part it is, for log entries that name it
}

type root struct {
	Vendor  string `json:"vendor,omitempty"`
	Product string `json:"product,omitempty"`
	Version string `json:"version,omitempty"`
	Expand  string `json:"expand,omitempty"` // the $expand query to try, "" for none
}

type alias struct {
	ID    health.ComponentID `json:"id"`
	Place string             `json:"place"`
	Name  string             `json:"name,omitempty"`
}

type sensorKey struct {
	ID    health.ComponentID `json:"id"`
	Place string             `json:"place,omitempty"`
	// Often: read it with every readings visit. Covered: another resource that is read then states its value. Excerpt: its
	// chassis' ThermalMetrics gives its value with every readings visit.
	Often   bool `json:"often,omitempty"`
	Covered bool `json:"covered,omitempty"`
	Excerpt bool `json:"excerpt,omitempty"`
	Rare    bool `json:"rare,omitempty"` // one of many that say nothing of health: for the inventory
	// What its value is called on the part that it is the value of, where a metrics document or ThermalMetrics names it.
	Q health.Quantity `json:"q,omitempty"`
	U health.Unit     `json:"u,omitempty"`
}

type system struct {
	URI  string `json:"uri"`
	Logs string `json:"logs,omitempty"`

	Storage       string `json:"storage,omitempty"`
	SimpleStorage string `json:"simple,omitempty"`
	SmartStorage  string `json:"smart,omitempty"`
	Memory        string `json:"memory,omitempty"`
	Processors    string `json:"cpus,omitempty"`

	// Which tree tells of the drives and of the volumes on this firmware: while it cannot be read no other takes its place.
	DrivesBy  teller `json:"drives_by,omitempty"`
	VolumesBy teller `json:"volumes_by,omitempty"`
}

// teller is the tree that tells of a kind of parts, where another one tells of them again under other names.
type teller string

const (
	tellerUnknown teller = ""
	byStorage     teller = "storage"  // for drives also HPE's SmartStorage
	byFallback    teller = "fallback" // that was read whole, or is not there, and tells of none
)

// learn takes in that Storage brought n parts, and whether nothing of it was left unread. Storage that once told of some
// remains the teller: it lists none while the host boots.
func (t *teller) learn(n int, whole bool) {
	switch {
	case n > 0:
		*t = byStorage
	case whole && *t == tellerUnknown:
		*t = byFallback
	}
}

type chassis struct {
	URI  string `json:"uri"`
	ID   string `json:"id"`
	Logs string `json:"logs,omitempty"`

	Thermal  string `json:"thermal,omitempty"`
	Power    string `json:"power,omitempty"`
	Cooling  string `json:"cooling,omitempty"` // ThermalSubsystem
	Supply   string `json:"supply,omitempty"`  // PowerSubsystem
	Sensors  string `json:"sensors,omitempty"`
	Env      string `json:"env,omitempty"`
	Leaks    string `json:"leaks,omitempty"` // LeakDetectors
	Alarms   string `json:"alarms,omitempty"`
	Drives   string `json:"drives,omitempty"`
	Adapters string `json:"adapters,omitempty"`
	PCIe     string `json:"pcie,omitempty"`
	// Linked are drives that only the chassis' Links name.
	Linked []string `json:"linked,omitempty"`

	// What a readings visit must read beside Thermal and Power, learned by merging all of it once. Members are read
	// directly, without asking for their collection.
	Fans     []string `json:"fans,omitempty"`
	Supplies []string `json:"supplies,omitempty"`
	Leak     []string `json:"leak,omitempty"` // detectors, and groups of them
	EnvOften bool     `json:"env_often,omitempty"`
	Temps    string   `json:"temps,omitempty"` // ThermalMetrics, read in place of sensors one by one
}

type manager struct {
	URI  string `json:"uri"`
	Logs string `json:"logs,omitempty"`
}

// unit is equipment outside Chassis that has sensors or detectors: cooling units, PDUs, facilities.
type unit struct {
	URI     string   `json:"uri"`
	ID      string   `json:"id"`
	Kind    string   `json:"kind"` // cdu, pdu, facility, …
	Sensors string   `json:"sensors,omitempty"`
	Env     string   `json:"env,omitempty"`
	Metrics string   `json:"metrics,omitempty"`
	Leak    string   `json:"leak,omitempty"`  // LeakDetection
	Leaks   []string `json:"leaks,omitempty"` // learned detectors
	Pumps   string   `json:"pumps,omitempty"`
	Supply  string   `json:"supply,omitempty"` // PowerSupplies of a power shelf
	Logs    string   `json:"logs,omitempty"`
}

type logService struct {
	URI     string `json:"uri"`
	Source  string `json:"source"` // our name of it
	Name    string `json:"name,omitempty"`
	Entries string `json:"entries,omitempty"`
	Skipped string `json:"skipped,omitempty"`
	Order   string `json:"order,omitempty"` // how it lists entries, as far as was seen
	Skip    int    `json:"skip,omitempty"`  // $skip: 0 not tried, 1 proven, -1 not honoured
	Max     int    `json:"max,omitempty"`   // entries it holds, of a log that never overwrites
	Full    bool   `json:"full,omitempty"`  // the service says that it overflowed
}

func newMemory() *memory {
	return &memory{
		V: memoryVersion, Same: map[string]alias{}, Sensors: map[string]sensorKey{}, Twins: map[string][]string{},
		Parts: map[string][]string{}, Expand: map[string]bool{}, Origins: map[string]health.ComponentID{},
		Metrics: map[string][]string{}, Slow: map[string]*slowPlace{}, Rosters: map[string]*roster{}, Containers: map[string]*container{},
		Listed: map[string]string{}, Counts: map[string]*tally{},
	}
}

func (m *memory) encode() json.RawMessage {
	b, err := json.Marshal(m) // maps are encoded in order of their keys: the same memory is the same bytes
	if err != nil {
		return nil
	}
	return b
}

// decodeMemory reads a memory back. It came from our own store, but every link in it is checked again: a token goes
// where it leads.
func decodeMemory(base *url.URL, raw json.RawMessage) *memory {
	m := newMemory()
	if json.Unmarshal(raw, m) != nil || m.V != memoryVersion {
		return nil
	}
	fresh := newMemory()
	if m.Same == nil {
		m.Same = fresh.Same
	}
	if m.Sensors == nil {
		m.Sensors = fresh.Sensors
	}
	if m.Twins == nil {
		m.Twins = fresh.Twins
	}
	if m.Parts == nil {
		m.Parts = fresh.Parts
	}
	if m.Origins == nil {
		m.Origins = fresh.Origins
	}
	if m.Expand == nil {
		m.Expand = fresh.Expand
	}
	if m.Metrics == nil {
		m.Metrics = fresh.Metrics
	}
	if m.Slow == nil {
		m.Slow = fresh.Slow
	}
	maps.DeleteFunc(m.Slow, func(_ string, s *slowPlace) bool { return s == nil })
	if m.Rosters == nil {
		m.Rosters = fresh.Rosters
	}
	if m.Counts == nil {
		m.Counts = fresh.Counts
	}
	maps.DeleteFunc(m.Counts, func(_ string, c *tally) bool { return c == nil })
	if m.Listed == nil {
		m.Listed = fresh.Listed
	}
	if m.Containers == nil {
		m.Containers = fresh.Containers
	}
	maps.DeleteFunc(m.Rosters, func(_ string, r *roster) bool { return r == nil })
	maps.DeleteFunc(m.Containers, func(_ string, c *container) bool { return c == nil })
	if m.Sessions != "" && !isSessions(m.Sessions) {
		return nil
	}
	for _, uri := range m.links() {
		doc, _, _ := strings.Cut(uri, "#") // what stands in a document is asked for by the document's link
		if uri != "" && resolve(base, link(doc)) != doc {
			return nil
		}
	}
	return m
}

// links are all the URIs a visit may follow.
func (m *memory) links() []string {
	l := []string{m.Sessions}
	for _, s := range m.Systems {
		l = append(l, s.URI, s.Logs, s.Storage, s.SimpleStorage, s.SmartStorage, s.Memory, s.Processors)
	}
	for _, c := range m.Chassis {
		l = append(l, c.URI, c.Logs, c.Thermal, c.Power, c.Cooling, c.Supply, c.Sensors, c.Env, c.Leaks, c.Alarms, c.Drives,
			c.Adapters, c.PCIe, c.Temps)
		l = slices.Concat(l, c.Fans, c.Supplies, c.Leak, c.Linked)
	}
	for _, g := range m.Managers {
		l = append(l, g.URI, g.Logs)
	}
	for _, u := range m.Units {
		l = append(l, u.URI, u.Sensors, u.Env, u.Metrics, u.Leak, u.Supply, u.Pumps, u.Logs)
		l = append(l, u.Leaks...)
	}
	for _, s := range m.Logs {
		l = append(l, s.URI, s.Entries)
	}
	for uri := range m.Sensors {
		l = append(l, uri)
	}
	for _, s := range m.Slow {
		for _, x := range s.Members {
			l = append(l, x.URI)
		}
	}
	for uri, place := range m.Listed {
		l = append(l, uri, place)
	}
	for place, r := range m.Rosters {
		l = append(append(l, place), r.uris(place)...)
	}
	return l
}

// forget drops what depends on the firmware, and makes the next visit discover.
func (m *memory) forget() {
	m.Learned = false
	m.Stale = true
	clear(m.Expand)
	m.ExpandIgnored = false
	clear(m.Metrics)
	m.OneController = nil
	clear(m.Rosters)
	clear(m.Containers)
	clear(m.Listed)
	clear(m.Counts)
	clear(m.Slow)
	m.SlowAfter = ""
	for i := range m.Systems {
		m.Systems[i].DrivesBy, m.Systems[i].VolumesBy = tellerUnknown, tellerUnknown
	}
	for i := range m.Logs {
		m.Logs[i].Skip, m.Logs[i].Order = 0, ""
	}
}
