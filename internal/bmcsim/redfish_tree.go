package bmcsim

import (
	"fmt"
	"sync"
	"time"
)

type doc = map[string]any

// treeIDs are the names a make gives the members of its collections.
type treeIDs struct {
	system, chassis, manager string // paths
	logs                     []redfishLog
}

// redfishLog is one log service.
type redfishLog struct {
	path, name  string
	entryType   string
	newestFirst bool
	noEntries   bool // the service has no Entries link
	empty       bool // a journal or audit log: none of the hardware's events
	overwrites  string
}

func idsOf(p Profile) treeIDs {
	const s, c, m = "/redfish/v1/Systems/", "/redfish/v1/Chassis/", "/redfish/v1/Managers/"
	switch {
	case p.Redfish == ShapeModern:
		return treeIDs{s + "system", c + "Tray_0", m + "bmc", []redfishLog{
			{path: s + "system/LogServices/EventLog", name: "System Event Log Service", entryType: "Event", overwrites: "WrapsWhenFull"},
			{path: m + "bmc/LogServices/Journal", name: "Open BMC Journal Log Service", entryType: "Oem", overwrites: "WrapsWhenFull", empty: true},
		}}
	case p.Redfish == ShapeMixed:
		return treeIDs{s + "1", c + "1", m + "1", []redfishLog{
			{path: s + "1/LogServices/PlatformLog", name: "PlatformLog", entryType: "Event", overwrites: "WrapsWhenFull"},
			{path: s + "1/LogServices/SEL", name: "SEL", entryType: "SEL", overwrites: "NeverOverWrites", noEntries: true},
			{path: s + "1/LogServices/AuditLog", name: "AuditLog", entryType: "Oem", overwrites: "WrapsWhenFull", empty: true},
		}}
	case p.FansInPercent:
		return treeIDs{s + "1", c + "1", m + "1", []redfishLog{
			{path: s + "1/LogServices/IML", name: "Integrated Management Log", entryType: "Event", overwrites: "WrapsWhenFull"},
			{path: m + "1/LogServices/IEL", name: "Event Log", entryType: "Event", overwrites: "WrapsWhenFull", empty: true},
		}}
	}
	ids := treeIDs{s + "System.Embedded.1", c + "System.Embedded.1", m + "RAC.Embedded.1", []redfishLog{
		{path: m + "RAC.Embedded.1/LogServices/Sel", name: "SEL Log Service", entryType: "SEL", overwrites: "WrapsWhenFull", newestFirst: true},
		{path: m + "RAC.Embedded.1/LogServices/Lclog", name: "Lifecycle Controller Log Service", entryType: "Oem", overwrites: "WrapsWhenFull", newestFirst: true, empty: true},
	}}
	if p.OneLog {
		ids.logs = ids.logs[:1]
	}
	return ids
}

// machineTree shows a machine as Redfish documents. They are made anew for every second and every change of the machine, and
// only those that are asked for.
type machineTree struct {
	m      *Machine
	expand bool
	ids    treeIDs

	mu      sync.Mutex
	version uint64
	second  int64
	docs    map[string]func() doc
}

func newMachineTree(m *Machine, expand bool) *machineTree {
	return &machineTree{m: m, expand: expand, ids: idsOf(m.profile)}
}

func (t *machineTree) get(path string, at time.Time) (any, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.docs == nil || t.version != t.m.versionNow() || t.second != at.Unix() {
		s := t.m.At(at)
		b := &treeBuilder{p: t.m.profile, id: t.m.id, name: t.m.name, s: s, ids: t.ids, log: t.m.Log(), logInfo: t.m.logInfo(), docs: map[string]func() doc{}}
		b.build(t.expand)
		t.docs, t.version, t.second = b.docs, s.Version, at.Unix()
	}
	make, ok := t.docs[path]
	if !ok {
		return nil, false
	}
	return make(), true
}

// pageSize of log entries, as most makes page those and nothing else.
func (t *machineTree) pageSize(path string) int {
	for _, l := range t.ids.logs {
		if path == l.path+"/Entries" {
			return 50
		}
	}
	return 0
}

type logInfo struct {
	capacity int
	overflow bool
	wraps    bool
	off      bool
}

func (m *Machine) logInfo() logInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return logInfo{m.log.capacity, m.log.overflow, m.log.wraps, m.log.off}
}

// treeBuilder makes the documents of one state.
type treeBuilder struct {
	p       Profile
	id      identity
	name    string
	s       State
	ids     treeIDs
	log     []Event
	logInfo logInfo
	docs    map[string]func() doc
}

// add registers a document; its identity and type are put in here.
func (b *treeBuilder) add(path, odataType, name string, body func() doc) {
	b.docs[path] = func() doc {
		d := body()
		d["@odata.id"], d["@odata.type"], d["Name"] = path, "#"+odataType, name
		if _, ok := d["Id"]; !ok {
			d["Id"] = lastSegment(path)
		}
		return d
	}
}

func (b *treeBuilder) addCollection(path, kind, name string, members []string) {
	b.docs[path] = func() doc { return collection(path, kind, name, members) }
}

func lastSegment(p string) string {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] == '/' {
			return p[i+1:]
		}
	}
	return p
}

func status(health, state string) doc {
	d := doc{"State": state}
	if health == "" {
		d["Health"] = nil
	} else {
		d["Health"] = health
	}
	return d
}

// rollup is the machine's overall health.
func (b *treeBuilder) rollup() string {
	worst := "OK"
	warn := func(bad bool) {
		if bad && worst == "OK" {
			worst = "Warning"
		}
	}
	crit := func(bad bool) {
		if bad {
			worst = "Critical"
		}
	}
	for _, f := range b.s.Fans {
		crit(f.Failed)
		warn(f.Absent)
	}
	for _, p := range b.s.PSUs {
		crit(p.Failed || p.InputLost)
		warn(p.Absent)
	}
	for _, d := range b.s.Drives {
		crit(d.Failed)
		warn(d.Predicted)
	}
	for _, d := range b.s.DIMMs {
		crit(d.Failed)
	}
	for _, l := range b.s.Leaks {
		crit(l.State == LeakWet && b.showsLeaks())
		warn(l.State == LeakFault && b.showsLeaks())
	}
	if b.p.Room && b.p.Redfish != ShapeLegacy {
		warn(b.s.HumidityAlarm == 1)
		crit(b.s.HumidityAlarm == 2)
	}
	return worst
}

func (b *treeBuilder) showsLeaks() bool { return b.p.Redfish != ShapeLegacy || b.p.LeakBoolean }

func (b *treeBuilder) build(expand bool) {
	b.root(expand)
	b.system()
	b.manager()
	b.chassis()
	b.logs()
	b.network()
	if b.p.Redfish != ShapeModern {
		b.thermal()
		b.power()
	}
	if b.p.Redfish != ShapeLegacy {
		b.sensors()
		b.thermalSubsystem()
		b.powerSubsystem()
	}
}

func (b *treeBuilder) root(expand bool) {
	const r = "/redfish/v1"
	version := map[RedfishShape]string{ShapeLegacy: "1.9.0", ShapeModern: "1.17.0", ShapeMixed: "1.15.0"}[b.p.Redfish]
	b.add(r, "ServiceRoot.v1_10_0.ServiceRoot", "Root Service", func() doc {
		return doc{
			"Id": "RootService", "RedfishVersion": version, "UUID": b.id.uuid, "Product": b.p.BMCModel, "Vendor": b.p.Manufacturer,
			"Systems": link(r + "/Systems"), "Chassis": link(r + "/Chassis"), "Managers": link(r + "/Managers"),
			"SessionService": link(sessionService), "Links": doc{"Sessions": link(sessionsPath)},
			"ProtocolFeaturesSupported": doc{
				"ExpandQuery":    doc{"ExpandAll": expand, "Levels": expand, "Links": expand, "NoLinks": expand, "MaxLevels": 6},
				"FilterQuery":    false,
				"SelectQuery":    false,
				"ExcerptQuery":   false,
				"TopSkipQuery":   true,
				"DeepOperations": doc{"DeepPATCH": false, "DeepPOST": false},
			},
		}
	})
	b.addCollection(r+"/Systems", "ComputerSystemCollection", "Computer System Collection", []string{b.ids.system})
	b.addCollection(r+"/Chassis", "ChassisCollection", "Chassis Collection", []string{b.ids.chassis})
	b.addCollection(r+"/Managers", "ManagerCollection", "Manager Collection", []string{b.ids.manager})
}

func (b *treeBuilder) manager() {
	p := b.ids.manager
	b.add(p, "Manager.v1_11_0.Manager", "Manager", func() doc {
		d := doc{
			"ManagerType": "BMC", "Model": b.p.BMCModel, "FirmwareVersion": b.p.BMCFirmware, "UUID": b.id.uuid,
			"DateTime": b.s.Time.UTC().Format(time.RFC3339), "DateTimeLocalOffset": "+00:00",
			"Status": status("OK", "Enabled"), "PowerState": "On",
			"Links": doc{"ManagerForServers": links([]string{b.ids.system}), "ManagerForChassis": links([]string{b.ids.chassis})},
		}
		if b.hasLogs(p) {
			d["LogServices"] = link(p + "/LogServices")
		}
		return d
	})
}

func (b *treeBuilder) chassis() {
	p := b.ids.chassis
	b.add(p, "Chassis.v1_22_0.Chassis", "Computer System Chassis", func() doc {
		intrusion := "Normal"
		if b.s.Intrusion {
			intrusion = "HardwareIntrusion"
		}
		d := doc{
			"ChassisType": "RackMount", "Manufacturer": b.p.Manufacturer, "Model": b.p.Model, "SerialNumber": b.id.serial,
			"PartNumber": b.id.partNumber, "AssetTag": b.id.assetTag, "EnvironmentalClass": "A2", "PowerState": b.powerState(),
			"PhysicalSecurity": doc{"IntrusionSensor": intrusion, "IntrusionSensorNumber": 115, "IntrusionSensorReArm": "Manual"},
			"Status":           doc{"State": "Enabled", "Health": b.rollup(), "HealthRollup": b.rollup()},
			"Links":            doc{"ComputerSystems": links([]string{b.ids.system}), "ManagedBy": links([]string{b.ids.manager})},
		}
		if b.p.Redfish != ShapeModern {
			d["Thermal"], d["Power"] = link(p+"/Thermal"), link(p+"/Power")
		}
		if b.p.Redfish != ShapeLegacy {
			d["Sensors"], d["EnvironmentMetrics"] = link(p+"/Sensors"), link(p+"/EnvironmentMetrics")
			d["ThermalSubsystem"], d["PowerSubsystem"] = link(p+"/ThermalSubsystem"), link(p+"/PowerSubsystem")
		}
		if b.p.NICs > 0 {
			d["NetworkAdapters"] = link(p + "/NetworkAdapters")
		}
		if b.p.Redfish == ShapeMixed && len(b.s.Leaks) > 0 {
			d["LeakDetectors"] = link(p + "/LeakDetectors")
		}
		return d
	})
}

func (b *treeBuilder) powerState() string {
	if b.s.HostOn {
		return "On"
	}
	return "Off"
}

// hostState of a part that only lives while the host runs.
func (b *treeBuilder) hostStatus(health string) doc {
	if !b.s.HostOn {
		return status("", "StandbyOffline")
	}
	return status(health, "Enabled")
}

func num(i int) string { return fmt.Sprint(i) }

func round(v float64, decimals int) float64 {
	f := 1.0
	for range decimals {
		f *= 10
	}
	if v < 0 {
		return float64(int64(v*f-0.5)) / f
	}
	return float64(int64(v*f+0.5)) / f
}
