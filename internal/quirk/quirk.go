// Package quirk is what drivers know of firmware that does things its own way, as data: which machines a row is about, what
// it changes, why, and who found it out. Each driver has its table of rows (drivers/redfish/quirks.go, drivers/ipmi/quirks.go);
// a configuration adds rows of its own ([[quirk]]) and switches rows off (quirks_off).
//
// A row acts by effects, a closed list: what can be switched is code that a test covers, and a configuration can ask for no
// more than that. A row without effect and without denied paths records what tolerant code does for every machine; it is
// there to be read, with its source, and its driver's tests hold the code to it.
package quirk

import (
	"fmt"
	"regexp"
	"slices"
)

// Effect is one thing a driver can do otherwise.
type Effect string

// Effects of the Redfish driver.
const (
	NoExpand        Effect = "no-expand"
	NoODataVersion  Effect = "no-odata-version"
	OneRequest      Effect = "one-request"
	BasicAuth       Effect = "basic-auth"
	Sentinels       Effect = "no-65535"
	HoursOverflow   Effect = "hours-overflow"
	UncertifiedWear Effect = "uncertified-wear"
	PhantomSupply   Effect = "phantom-supply"
)

// Effects of the IPMI driver.
const (
	SmallReads     Effect = "small-reads"
	NoDCMI         Effect = "no-dcmi"
	BMCOwnsSensors Effect = "bmc-owns-sensors"
)

// effects are what each driver knows, with what is done.
var effects = []struct {
	driver string
	effect Effect
	does   string
}{
	{"redfish", NoExpand, "$expand is neither tried nor trusted"},
	{"redfish", NoODataVersion, "the OData-Version header is not sent"},
	{"redfish", OneRequest, "never two requests at once"},
	{"redfish", BasicAuth, "a target with auth = \"auto\" opens no session"},
	{"redfish", Sentinels, "65535 is no number"},
	{"redfish", HoursOverflow, "power-on hours from 65536 on are not believed"},
	{"redfish", UncertifiedWear, "0 % life left of a drive that is not certified is unknown"},
	{"redfish", PhantomSupply, "a supply with firmware 0.00, without serial number and health, is an empty bay"},
	{"ipmi", SmallReads, "records and FRU data are read 16 bytes at a time from the start"},
	{"ipmi", NoDCMI, "the DCMI power reading is not asked for"},
	{"ipmi", BMCOwnsSensors, "every sensor is asked of the BMC, whoever its record calls its owner"},
}

// Effects are the effects a driver knows, none for one that has no quirks.
func Effects(driver string) []Effect {
	var l []Effect
	for _, e := range effects {
		if e.driver == driver {
			l = append(l, e.effect)
		}
	}
	return l
}

// Does says in words what an effect does.
func (e Effect) Does() string {
	for _, x := range effects {
		if x.effect == e {
			return x.does
		}
	}
	return ""
}

// Quirk is one row.
type Quirk struct {
	Name string
	// Vendor and Product match any of what the machine calls itself; nil matches all, and one that tells nothing matches
	// only nil.
	Vendor, Product *regexp.Regexp
	Firmware        Range
	Effects         []Effect
	Deny            *regexp.Regexp // Redfish: paths that are never requested; nil: none
	What            string         // what the machine does, and what is done about it
	Source          string         // who found it out; "configuration" of a row of the user's
}

// Always tells a row that records what is done for every machine.
func (q *Quirk) Always() bool { return len(q.Effects) == 0 && q.Deny == nil }

// Machine is what is known of a BMC and the machine around it.
type Machine struct {
	Vendors, Products []string
	Firmware          []string // of its controllers
}

// Applies reports whether a row is about a machine. While its firmware is not known, a range of it counts as met: what a
// row does is the careful thing to do.
func (q *Quirk) Applies(m *Machine) bool {
	if q.Vendor != nil && !slices.ContainsFunc(m.Vendors, q.Vendor.MatchString) || q.Product != nil && !slices.ContainsFunc(m.Products, q.Product.MatchString) {
		return false
	}
	known := false
	for _, f := range m.Firmware {
		if _, ok := parseVersion(f); !ok {
			continue
		}
		known = true
		if q.Firmware.Contains(f) {
			return true
		}
	}
	return !known
}

// Table is the rows that are on for a target.
type Table []Quirk

// Has reports whether a row with this effect is about a machine.
func (t Table) Has(e Effect, m *Machine) bool {
	for i := range t {
		if slices.Contains(t[i].Effects, e) && t[i].Applies(m) {
			return true
		}
	}
	return false
}

// Denies reports whether a path must not be requested of a machine.
func (t Table) Denies(path string, m *Machine) bool {
	for i := range t {
		if t[i].Deny != nil && t[i].Deny.MatchString(path) && t[i].Applies(m) {
			return true
		}
	}
	return false
}

// Names are the names of the rows, each once, in their order.
func (t Table) Names() []string {
	var l []string
	for i := range t {
		if !slices.Contains(l, t[i].Name) {
			l = append(l, t[i].Name)
		}
	}
	return l
}

// With is the table with rows added and rows switched off by name. A name that no row has is an error: a deny-list must not
// stay on, or off, for a slip of the pen.
func (t Table) With(added []Quirk, off []string) (Table, error) {
	all := slices.Concat(t, added)
	for _, name := range off {
		if !slices.ContainsFunc(all, func(q Quirk) bool { return q.Name == name }) {
			return nil, fmt.Errorf("no quirk is named %q", name)
		}
	}
	return slices.DeleteFunc(all, func(q Quirk) bool { return slices.Contains(off, q.Name) }), nil
}

// Match compiles a pattern for names of vendors and products: case does not count.
func Match(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	return regexp.Compile("(?i)" + pattern)
}
