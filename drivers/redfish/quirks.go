package redfish

import (
	"regexp"
	"slices"
	"strings"

	"dewline/internal/quirk"
)

// Quirks is the driver's table. Rows with effects or denied paths are on for the machines they match, unless
// Options.QuirksOff names them; the others record what is done for every machine.
func Quirks() quirk.Table { return slices.Clone(quirks) }

var (
	dell    = pattern(`^dell|integrated dell remote access`)
	hpe     = pattern(`^(hpe?|hewlett)`)
	ilo4    = pattern(`ilo ?4|gen ?[89]([^0-9]|$)`)
	huawei  = pattern(`^(huawei|xfusion)`)
	fujitsu = pattern(`fujitsu`)
	cisco   = pattern(`^cisco`)
	h3c     = pattern(`^(h3c|new h3c|inspur)`)
)

func pattern(s string) *regexp.Regexp { return regexp.MustCompile("(?i)" + s) }

// quirks: what is at the top hurts a BMC, then vendor by vendor, as the sources name them.
var quirks = quirk.Table{
	{
		Name: "idrac-raid-enclosure", Vendor: dell, Deny: pattern(`/Chassis/[^/]*(RAID|Enclosure)`),
		What:   "reading the chassis of a RAID controller or an enclosure restarts the iDRAC: never asked for; drives are read through Storage",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/67",
	},
	{
		Name: "idrac-fqdd", Deny: pattern(`/Chassis/(Enclosure|RAID)\.[A-Za-z]`),
		What:   "the same for a service that does not say that it is an iDRAC (iDRAC 8 names no vendor): the names are Dell's own",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/67",
	},
	{
		Name: "firmware-inventory-slow", Deny: pattern(`/UpdateService/FirmwareInventory`),
		What:   "listing FirmwareInventory takes a DGX H100 two to three minutes and has hung its BMC: never asked for; versions are read from managers and parts",
		Source: "https://github.com/dsx-ai-factory/infra-controller/issues/1584",
	},
	{
		Name:   "session-table-full",
		What:   "503 with RAC0218, or a limit of four sessions (Cisco CIMC): one session is kept over visits and deleted on exit; a full table means Basic for one visit",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/89",
	},
	{
		Name:   "idrac-sessions-elsewhere",
		What:   "iDRAC 7 and 8 create sessions at /redfish/v1/Sessions and answer 405 at the standard place: Links.Sessions of the root first, then both",
		Source: "https://github.com/mrlhansen/idrac_exporter/pull/137",
	},
	{
		Name:   "expand-lies",
		What:   "$expand gives invalid JSON (iDRAC), leaves fields out (AMI, GB300) or is off (OpenBMC): used only after its answer was compared with the members, per firmware",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/69",
	},
	{
		Name: "huawei-expand", Vendor: huawei, Firmware: quirk.MustRange("<5.62"), Effects: []quirk.Effect{quirk.NoExpand},
		What:   "iBMC before 5.62 breaks on $expand: not tried",
		Source: "https://github.com/bb-Ricardo/check_redfish (vendor table)",
	},
	{
		Name: "irmc-expand", Vendor: fujitsu, Firmware: quirk.MustRange(">=2.60, <=2.63"), Effects: []quirk.Effect{quirk.NoExpand},
		What:   "iRMC S5 2.60 to 2.63 refuses queries it names as supported: $expand not tried",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/20",
	},
	{
		Name:   "idrac-starting",
		What:   "503 SYS518 while the iDRAC starts: this BMC is busy; one login and one document are tried, no more in that visit",
		Source: "https://github.com/ironcore-dev/metal-operator/issues/170",
	},
	{
		Name:   "dell-numbers",
		What:   "efficiency as a fraction, MaxReadingRange \"None\", times of year 0: a fraction is a percentage, an odd value costs itself alone",
		Source: "https://github.com/jenningsloy318/redfish_exporter/issues/13",
	},
	{
		Name:   "dell-twins",
		What:   "two fans with one MemberId, a PCIe device listed twice: every element is a part, every resource is one part",
		Source: "https://github.com/jenningsloy318/redfish_exporter/issues/61",
	},
	{
		Name: "dell-uncertified-wear", Vendor: dell, Effects: []quirk.Effect{quirk.UncertifiedWear},
		What:   "a drive that is not certified has 0 % life left from its first day: unknown",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/165",
	},
	{
		Name:   "dell-log-paths",
		What:   "LogServices/Sel or Logs/Sel by generation: logs are discovered, no path is known beforehand",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/143",
	},
	{
		Name: "ilo4-odata-version", Vendor: hpe, Product: ilo4, Effects: []quirk.Effect{quirk.NoODataVersion},
		What:   "with the OData-Version header an iLO 4 hides its fans: not sent",
		Source: "https://github.com/influxdata/telegraf/issues/14488",
	},
	{
		Name:   "slash-redirects",
		What:   "iLO 4 and Supermicro redirect (307, 308) to the same path with a slash, also a login: followed once, with method, body and token, on the same host only",
		Source: "https://github.com/bb-Ricardo/check_redfish/pull/187",
	},
	{
		Name:   "ilo-smartstorage",
		What:   "iLO 4 has drives in SmartStorage alone, iLO 5 there and in Storage: one part by serial number",
		Source: "https://github.com/bb-Ricardo/check_redfish (storage)",
	},
	{
		Name: "ilo-hours", Vendor: hpe, Effects: []quirk.Effect{quirk.HoursOverflow},
		What:   "power-on hours with 65536 too many: from 65536 on not believed. Wear below 0 is none on any machine",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/161",
	},
	{
		Name: "ilo-phantom-psu", Vendor: hpe, Effects: []quirk.Effect{quirk.PhantomSupply},
		What:   "a supply with firmware 0.00, without serial number and Health, is an empty bay: absent",
		Source: "https://github.com/mrlhansen/idrac_exporter/issues/116",
	},
	{
		Name:   "ilo-repaired",
		What:   "an entry of the IML that is marked Repaired tells the end of its condition",
		Source: "https://github.com/bb-Ricardo/check_redfish (event log of HPE)",
	},
	{
		Name:   "ilo4-log-by-entry",
		What:   "an iLO 4 links the entries of a log and gives each by a request of its own: the newest hundred of them, back to the newest known one",
		Source: "https://github.com/bb-Ricardo/check_redfish (event log of HPE)",
	},
	{
		Name:   "ilo-supply-status",
		What:   "PowerSupplyStatus words what Status does not, and says Unknown of a supply that is well: told beside it, no fault by itself",
		Source: "https://github.com/bb-Ricardo/check_redfish (power)",
	},
	{
		Name:   "ilo-views",
		What:   "POST to Views would bring all in one answer: not used, nothing is posted but the login",
		Source: "https://github.com/bb-Ricardo/check_redfish (README)",
	},
	{
		Name:   "drive-ids-collide",
		What:   "drive 0 of every controller: a number alone is no identity, the controller is part of the ID",
		Source: "https://github.com/mrlhansen/idrac_exporter/issues/110",
	},
	{
		Name:   "supermicro-drives",
		What:   "Oem.Supermicro.PercentageDriveLifeUsed, Temperature and DriveFunctional stand in for what the drive itself does not say",
		Source: "https://github.com/bb-Ricardo/check_redfish/pull/187",
	},
	{
		Name:   "xcc-slow-drives",
		What:   "Lenovo XCC takes 11 s for one drive: drives are read in the health tier; readings and events do not wait for them",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/80",
	},
	{
		Name:   "xcc-logs",
		What:   "logs named PlatformLog, StandardLog, ActiveLog, newest entry first: any name, either order",
		Source: "https://github.com/mrlhansen/idrac_exporter/issues/112",
	},
	{
		Name:   "imm-other-port",
		What:   "an IMM sends the login on to port 8080 and a slash: followed once, on the same host, where its certificate is verified again; never anything but the login",
		Source: "https://github.com/PegaProx (issue 609)",
	},
	{
		Name:   "xcc-stuck-drives",
		What:   "drives that were well again stay Critical until the XCC restarts: told as the BMC tells it, since nothing else says that they are well",
		Source: "https://github.com/lenovo (issue 47)",
	},
	{
		Name:   "cimc-values",
		What:   "\"N/A\" where a number belongs, PowerControl as an object, Health OK of an absent drive, severity NORMAL: read for what they mean",
		Source: "https://github.com/Comcast/fishymetrics/pull/147",
	},
	{
		Name: "cimc-pacing", Vendor: cisco, Effects: []quirk.Effect{quirk.OneRequest},
		What:   "CIMC drops requests that come while it works on another: one at a time",
		Source: "https://github.com/Comcast/fishymetrics (common/util.go)",
	},
	{
		Name:   "cimc-system-id",
		What:   "the system is named by its serial number, /redfish/v1/Systems/FCH2109V0AB: discovered; IDs of parts do not hold it",
		Source: "https://github.com/Comcast/fishymetrics/pull/147",
	},
	{
		Name:   "huawei-supply-oem",
		What:   "the watts of a supply stand in Oem.Huawei alone: taken where the supply itself has none",
		Source: "https://github.com/bb-Ricardo/check_redfish (power)",
	},
	{
		Name:   "huawei-deassert",
		What:   "nothing tells an asserted entry from a deasserted one for certain: an entry ends a condition only if it says so",
		Source: "https://github.com/bb-Ricardo/check_redfish (event log of Huawei)",
	},
	{
		Name:   "irmc-supply-oem",
		What:   "the watts of a supply stand in Power.Oem.ts_fujitsu.ChassisPowerSensors: taken by the supply's name",
		Source: "https://github.com/bb-Ricardo/check_redfish (power)",
	},
	{
		Name:   "irmc-storage-twice",
		What:   "iRMC 3.06P lists a controller's drives twice: one part by serial number",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/58",
	},
	{
		Name:   "irmc-role",
		What:   "an account without RedfishRole logs in and may read nothing (403): denied, once, and said so",
		Source: "https://github.com/bb-Ricardo/check_redfish (notes on Fujitsu)",
	},
	{
		Name:   "irmc-stale-event",
		What:   "an entry 0x180055 stays when what it tells of is long over: an entry is told once, and one of no known kind opens no fault",
		Source: "https://github.com/bb-Ricardo/check_redfish (notes on Fujitsu)",
	},
	{
		Name:   "openbmc-modern-only",
		What:   "no Thermal and Power: Sensors, ThermalSubsystem and PowerSubsystem are enough",
		Source: "https://github.com/openbmc/bmcweb (meson options)",
	},
	{
		Name:   "openbmc-huge-logs",
		What:   "Journal, dump and POST code services hold hundreds of thousands of entries and no hardware event: named as skipped; IDs of the event log (epoch_n) are texts",
		Source: "https://github.com/xcat2/confluent/pull/274",
	},
	{
		Name:   "openbmc-nan",
		What:   "nan or null where a reading belongs: no reading, and the rest of the document stands",
		Source: "https://github.com/openbmc/bmcweb (sensors)",
	},
	{
		Name:   "openbmc-sessions",
		What:   "a session ends after 1800 s, an account locks for 300 s after some wrong passwords: one new login in a visit, one attempt with a password",
		Source: "https://github.com/openbmc/bmcweb (session timeout)",
	},
	{
		Name:   "missing-under-200",
		What:   "HTTP 200 with an error for a chassis that is not there: not found, no empty chassis",
		Source: "https://github.com/openbmc/bmcweb (chassis)",
	},
	{
		Name:   "ami-shapes",
		What:   "MemberId as a number, null among Members, a supply without Status or in State \"Present\", no Systems in the root: all read",
		Source: "https://github.com/stmcginnis/gofish/issues/99",
	},
	{
		Name:   "ami-values",
		What:   "MaxSpeedMHz \"\", IntervalInMin 0.08, no Name, no ChassisType: an odd value costs itself alone, a part without a name is named by its ID",
		Source: "https://github.com/mrlhansen/idrac_exporter/issues/176",
	},
	{
		Name: "h3c-65535", Vendor: h3c, Effects: []quirk.Effect{quirk.Sentinels},
		What:   "65535 where there is no value: no reading. 65535 W is none on any machine",
		Source: "https://github.com/ClusterCockpit/cc-metric-collector",
	},
	{
		Name:   "h3c-shapes",
		What:   "Health \"Enabled\", Members as plain texts, Storages for Storage, a raw carriage return in a text: all read",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/200",
	},
	{
		Name:   "host-off",
		What:   "with the host off fans and rails are told as failed, or as well: unknown",
		Source: "https://github.com/bb-Ricardo/check_redfish/issues/110",
	},
	{
		Name:   "leak-detection-single",
		What:   "LeakDetection is one object on some, a collection on others: either",
		Source: "https://github.com/LambdaLabs/redfish_exporter (chassis_collector.go)",
	},
	{
		Name:   "failed-is-not-enabled",
		What:   "an unplugged supply is UnavailableOffline and Critical, a pulled one Absent and Critical: no part is left out for its State",
		Source: "https://github.com/ibm-openbmc/bmcweb/pull/1281",
	},
	{
		Name:   "no-power-meter",
		What:   "0 W of a machine that is on and has no meter: no reading",
		Source: "https://github.com/Comcast/fishymetrics/issues/85",
	},
}

// machine is what is known of the BMC so far, for the quirks.
func (c *Client) machine() *quirk.Machine {
	m := &quirk.Machine{Vendors: c.mem.Makers, Products: c.mem.Models}
	if v := c.mem.Root.Vendor; v != "" {
		m.Vendors = append(slices.Clip(m.Vendors), v)
	}
	if p := c.mem.Root.Product; p != "" {
		// "Integrated Dell Remote Access Controller" is the vendor's name as well, where Vendor is missing.
		m.Products, m.Vendors = append(slices.Clip(m.Products), p), append(slices.Clip(m.Vendors), p)
	}
	if c.mem.Firmware != "" {
		m.Firmware = strings.Split(c.mem.Firmware, "|")
	}
	return m
}

// quirk reports whether an effect is on for this BMC.
func (c *Client) quirk(e quirk.Effect) bool { return c.quirks.Has(e, c.machine()) }

// deniedPath reports whether a path must not be requested.
func (c *Client) deniedPath(path string) bool { return c.quirks.Denies(path, c.machine()) }

// maxNames bounds what is kept of a machine's names.
const maxNames = 16

// called notes what a machine calls itself or its maker.
func called(list []string, names ...text) []string {
	for _, n := range names {
		if s := cut(string(n), 128); s != "" && len(list) < maxNames && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	slices.Sort(list) // the order in which they are met must not change the memory
	return list
}
