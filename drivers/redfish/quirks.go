package redfish

import (
	"regexp"
	"slices"
	"strings"
)

// Quirk is one thing a family of firmware does differently. Those that a tolerant reading covers for everybody (odd
// numbers, links as strings, objects for lists, …) change nothing here and have no row; their code names its source.
type Quirk struct {
	Name    string
	Vendor  *regexp.Regexp // of ServiceRoot.Vendor, System or Manager manufacturer; nil: any
	Product *regexp.Regexp // of ServiceRoot.Product, or the manager's model; nil: any
	// Firmware of the BMC: "" any.
	Firmware *regexp.Regexp
	What     string
	Source   string
	// Deny matches paths that are never requested.
	Deny *regexp.Regexp
}

var (
	dell       = regexp.MustCompile(`(?i)^dell`)
	hpe        = regexp.MustCompile(`(?i)^(hpe?|hewlett)`)
	ilo4       = regexp.MustCompile(`(?i)ilo ?4|gen ?[89]([^0-9]|$)`)
	huawei     = regexp.MustCompile(`(?i)^(huawei|xfusion)`)
	nvidia     = regexp.MustCompile(`(?i)^nvidia`)
	dgx        = regexp.MustCompile(`(?i)dgx`)
	oldHuawei  = regexp.MustCompile(`^([0-4]\.|5\.([0-5]|6[01]))`)
	fujitsu    = regexp.MustCompile(`(?i)fujitsu`)
	iRMCBroken = regexp.MustCompile(`^2\.6[0-3]`)
)

// Quirks is the table. A row is on unless Options.DisableQuirks names it.
var Quirks = []Quirk{
	{
		Name: "idrac-raid-enclosure", Vendor: dell,
		What:   "reading a chassis of a RAID controller or enclosure restarts the iDRAC: never asked for, drives are read through Storage",
		Source: "bb-Ricardo/check_redfish #67",
		Deny:   regexp.MustCompile(`(?i)/Chassis/[^/]*(RAID|Enclosure)`),
	},
	{
		Name: "ilo4-odata-version", Vendor: hpe, Product: ilo4,
		What:   "the OData-Version header hides fans: not sent",
		Source: "influxdata/telegraf #14488, #14659",
	},
	{
		Name: "ilo-wear", Vendor: hpe,
		What:   "wear of a drive may be negative, power-on hours may have 65536 too many: both dropped",
		Source: "bb-Ricardo/check_redfish #161",
	},
	{
		Name: "ilo-phantom-psu", Vendor: hpe,
		What:   "a supply with firmware 0.00, without serial number and Health is an empty bay: absent",
		Source: "mrlhansen/idrac_exporter #116",
	},
	{
		Name: "no-expand", Vendor: huawei, Firmware: oldHuawei,
		What:   "$expand leaves fields out before iBMC 5.62: not tried",
		Source: "bb-Ricardo/check_redfish vendor table",
	},
	{
		Name: "no-expand", Vendor: fujitsu, Firmware: iRMCBroken,
		What:   "iRMC S5 2.60 to 2.63 answers wrongly: $expand not tried",
		Source: "bb-Ricardo/check_redfish vendor notes",
	},
	{
		Name: "firmware-inventory-slow", Vendor: nvidia, Product: dgx,
		What:   "FirmwareInventory takes minutes and may need a BMC reset: never asked for (on any machine)",
		Source: "infra-controller #1584",
		Deny:   regexp.MustCompile(`(?i)/UpdateService/FirmwareInventory`),
	},
	{
		Name: "drive-uncertified-wear", Vendor: dell,
		What:   "0 % life left of a drive that is not certified is unknown",
		Source: "bb-Ricardo/check_redfish #18, #165",
	},
}

// applies reports whether a row concerns this BMC, as far as it is known.
func (q *Quirk) applies(r root, firmware string) bool {
	return (q.Vendor == nil || q.Vendor.MatchString(r.Vendor)) && (q.Product == nil || q.Product.MatchString(r.Product)) &&
		(q.Firmware == nil || q.Firmware.MatchString(firmware))
}

// quirk reports whether a quirk is on for this BMC.
func (c *Client) quirk(name string) bool {
	if slices.Contains(c.o.DisableQuirks, name) {
		return false
	}
	return slices.ContainsFunc(Quirks, func(q Quirk) bool { return q.Name == name && q.applies(c.mem.Root, c.mem.Firmware) })
}

func (c *Client) omitODataVersion() bool { return c.quirk("ilo4-odata-version") }

// deniedPath reports whether a path must not be requested. A Dell is also known by its chassis names: the root of an
// iDRAC 8 tells no vendor.
func (c *Client) deniedPath(path string) bool {
	for _, q := range Quirks {
		if q.Deny == nil || slices.Contains(c.o.DisableQuirks, q.Name) || !q.Deny.MatchString(path) {
			continue
		}
		if q.applies(c.mem.Root, c.mem.Firmware) || q.Name == "idrac-raid-enclosure" && (c.mem.Root.Vendor == "" && idracPath(path)) {
			return true
		}
	}
	return false
}

// idracPath: the FQDD names of an iDRAC ("Enclosure.Internal.0-1:RAID.Integrated.1-1").
func idracPath(path string) bool {
	return strings.Contains(path, "Enclosure.Internal") || strings.Contains(path, "Enclosure.External") || strings.Contains(path, "RAID.Integrated") ||
		strings.Contains(path, "RAID.Slot") || strings.Contains(path, "RAID.Mezzanine") || strings.Contains(path, "RAID.SL") || strings.Contains(path, "RAID.Embedded")
}
