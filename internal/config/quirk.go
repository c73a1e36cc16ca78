package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"dewline/health"
	"dewline/internal/quirk"
)

// placedName is a name that only the drivers' tables can judge, and where it stands.
type placedName struct {
	driver, name string
	place        Fault
	off          bool // from quirks_off; else the name of a [[quirk]]
}

var quirkName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// quirks reads the [[quirk]] tables: rows beside those of the drivers, by driver.
func (c *checker) quirks(raw []rawQuirk) map[string][]quirk.Quirk {
	var rows map[string][]quirk.Quirk
	first := map[string]string{}
	for i := range raw {
		path := fmt.Sprintf("quirk[%d]", i)
		if !c.has(path) {
			continue
		}
		driver, q := c.quirk(path, &raw[i])
		if driver == "" || q.Name == "" {
			continue
		}
		if at, twice := first[driver+"/"+q.Name]; twice {
			c.twice(path+".name", at+".name", "quirk "+quote(q.Name))
			continue
		}
		first[driver+"/"+q.Name] = path
		c.names = append(c.names, placedName{driver: driver, name: q.Name, place: c.src.fault(c.at(path+".name"), path+".name", "", "")})
		if rows == nil {
			rows = map[string][]quirk.Quirk{}
		}
		rows[driver] = append(rows[driver], q)
	}
	return rows
}

func (c *checker) quirk(path string, raw *rawQuirk) (driver string, q quirk.Quirk) {
	q.What, q.Source = raw.Why, cmp.Or(raw.Source, "configuration")
	if at := path + ".name"; c.required(at, "[[quirk]]") {
		if quirkName.MatchString(raw.Name) && len(raw.Name) <= maxName {
			q.Name = raw.Name
		} else {
			c.fault(at, "`name` is no name of a quirk: "+quote(raw.Name), "small letters, digits and hyphens")
		}
	}
	if at := path + ".driver"; c.required(at, "[[quirk]]") && c.oneOf(at, raw.Driver, health.DriverRedfish, health.DriverIPMI) {
		driver = raw.Driver
	}
	if at := path + ".why"; c.required(at, "[[quirk]]") && raw.Why == "" {
		c.fault(at, "`why` is empty", "say what the machine does: the next reader of this file will ask")
	}
	for key, x := range map[string]struct {
		text string
		to   **regexp.Regexp
	}{"vendor": {raw.Vendor, &q.Vendor}, "product": {raw.Product, &q.Product}} {
		if at := path + "." + key; c.has(at) {
			re, err := quirk.Match(x.text)
			if err != nil {
				c.fault(at, fmt.Sprintf("%s is no regular expression: %v", quote(key), err), `for example "^acme"`)
			}
			*x.to = re
		}
	}
	if at := path + ".firmware"; c.has(at) {
		r, err := quirk.ParseRange(raw.Firmware)
		if err != nil {
			c.fault(at, "`firmware` is no range of versions: "+err.Error(), `for example ">=2.60, <2.64"`)
		}
		q.Firmware = r
	}
	known := quirk.Effects(driver)
	for i, e := range raw.Effects {
		at := fmt.Sprintf("%s.effects[%d]", path, i)
		switch {
		case !c.has(at) || driver == "":
		case !slices.Contains(known, quirk.Effect(e)):
			words := make([]string, len(known))
			for i, k := range known {
				words[i] = string(k)
			}
			c.fault(at, fmt.Sprintf("the %s driver has no effect %s", driver, quote(e)), cmp.Or(didYouMean(e, words), "one of "+strings.Join(words, ", ")))
		default:
			q.Effects = append(q.Effects, quirk.Effect(e))
		}
	}
	c.deny(path, driver, raw, &q)
	if !c.has(path+".effects") && !c.has(path+".deny") && c.whole && !c.meant[path+".effects"] && !c.meant[path+".deny"] {
		c.fault(path, "[[quirk]] changes nothing: it has neither `effects` nor `deny`", "")
	}
	return driver, q
}

// deny reads the patterns of paths that are never requested.
func (c *checker) deny(path, driver string, raw *rawQuirk, q *quirk.Quirk) {
	if c.has(path+".deny") && driver == health.DriverIPMI {
		c.fault(path+".deny", "`deny` names paths of Redfish: IPMI has none", "")
		return
	}
	var patterns []string
	for i, d := range raw.Deny {
		at := fmt.Sprintf("%s.deny[%d]", path, i)
		if !c.has(at) {
			continue
		}
		re, err := quirk.Match(d)
		switch {
		case err != nil:
			c.fault(at, fmt.Sprintf("%s is no regular expression: %v", quote(d), err), `for example "/Chassis/Shelf"`)
		case re == nil || re.MatchString("/redfish/v1") || re.MatchString("/redfish/v1/SessionService/Sessions"):
			c.fault(at, fmt.Sprintf("%s denies the whole service", quote(d)), `name a part of it, for example "/Chassis/Shelf"`)
		default:
			patterns = append(patterns, d)
		}
	}
	if len(patterns) > 0 {
		q.Deny, _ = quirk.Match("(" + strings.Join(patterns, ")|(") + ")") // each of them compiles
	}
}

// quirksOff reads the names of the rows that a target does without.
func (c *checker) quirksOff(path, driver string, raw []string) []string {
	var off []string
	for i, name := range raw {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !c.has(at) {
			continue
		}
		if slices.Contains(off, name) {
			c.fault(at, "quirk "+quote(name)+" is named twice", "")
			continue
		}
		off = append(off, name)
		c.names = append(c.names, placedName{driver: driver, name: name, place: c.src.fault(c.at(at), at, "", ""), off: true})
	}
	return off
}

// QuirkFaults compares the names of quirks with the drivers' own rows, by driver: a [[quirk]] takes no name of theirs, and
// quirks_off knows a name of either.
func (c *Config) QuirkFaults(known map[string][]string) Faults {
	var fs Faults
	for _, n := range c.names {
		f := n.place
		ours := known[n.driver]
		switch {
		case !n.off && slices.Contains(ours, n.name):
			f.Message, f.Hint = "dewline has a quirk "+quote(n.name)+" of its own", "take another name; switch that one off with quirks_off"
		case n.off:
			names := slices.Clone(ours)
			for _, q := range c.Quirks[n.driver] {
				names = append(names, q.Name)
			}
			if slices.Contains(names, n.name) {
				continue
			}
			f.Message = "no quirk of the " + n.driver + " driver is named " + quote(n.name)
			f.Hint = cmp.Or(didYouMean(n.name, names), "`dewline quirks` lists them")
		default:
			continue
		}
		fs = append(fs, f)
	}
	sortFaults(fs)
	return fs
}
