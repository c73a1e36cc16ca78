package redfish

import (
	"cmp"
	"slices"
	"strings"

	"dewline/health"

	"github.com/stmcginnis/gofish/schemas"
)

type systemDoc struct {
	ID, Name, Manufacturer, Model, SerialNumber, SKU, UUID text
	PartNumber, AssetTag, HostName, BiosVersion            text
	PowerState                                             text
	Status                                                 status
	MemorySummary                                          object[struct{ Status status }]
	Oem                                                    object[struct {
		Hpe, Hp object[struct {
			AggregateHealthStatus object[struct {
				FanRedundancy, PowerSupplyRedundancy, LiquidCoolingRedundancy text
			}]
		}]
	}]
}

// primarySystem is the system whose parts need no system in their ID.
func (v *visit) primarySystem(uri string) bool { return v.mem.Host == uri }

// chooseHost picks the system that is the machine, where a baseboard of accelerators is another (NVIDIA HGX): the one
// with a BIOS, storage and a host name. The choice is kept.
func (v *visit) chooseHost() {
	if slices.ContainsFunc(v.mem.Systems, func(s system) bool { return s.URI == v.mem.Host }) {
		return
	}
	best := -1
	for _, s := range v.mem.Systems {
		var d struct {
			BiosVersion, HostName, SystemType text
			Bios, Storage, SecureBoot         link
			Boot                              rawJSON
		}
		_ = v.into(s.URI, &d)
		score := 0
		for _, told := range []bool{d.BiosVersion != "", d.HostName != "", d.Bios != "", d.Storage != "", d.SecureBoot != "", d.SystemType == "Physical"} {
			if told {
				score++
			}
		}
		if score > best {
			best, v.mem.Host = score, s.URI
		}
	}
}

// readSystems reads host power and overall health. The error is of the first system that could not be read.
func (v *visit) readSystems() *health.Error {
	var first *health.Error
	var uris []string
	for _, s := range v.mem.Systems {
		uris = append(uris, s.URI)
	}
	v.prefetch(uris)
	on, off, unknown := 0, 0, 0
	for _, s := range v.mem.Systems {
		var d systemDoc
		place := parent(s.URI)
		id := health.ComponentID(string(health.ClassSystem) + "/" + idText(segment(s.URI)))
		if e := v.into(s.URI, &d); e != nil {
			first = cmp.Or(first, e)
			unknown++
			v.gap(s.URI, e, "", id)
			v.goneLink(e)
			continue
		}
		switch hostPowerOf(string(d.PowerState)) {
		case health.HostOn:
			on++
		case health.HostOff:
			off++
		default:
			unknown++
		}
		p := &part{home: s.URI}
		p.Class, p.ID, p.Place, p.Tier = health.ClassSystem, id, place, health.TierReadings
		p.Name = string(cmp.Or(d.Name, text(segment(s.URI))))
		p.Manufacturer, p.Model, p.Serial = string(d.Manufacturer), string(d.Model), serialNumber(string(d.SerialNumber))
		p.PartNumber, p.Firmware = string(cmp.Or(d.PartNumber, d.SKU)), string(d.BiosVersion)
		p.judge(d.Status, true)
		v.union.add(p, s.URI)
		hpe := d.Oem.V.Hpe.V.AggregateHealthStatus.V
		if hpe.FanRedundancy == "" {
			hpe = d.Oem.V.Hp.V.AggregateHealthStatus.V
		}
		v.hpeRedundancy(s.URI, "Fan Redundancy", string(hpe.FanRedundancy))
		v.hpeRedundancy(s.URI, "Liquid Cooling Redundancy", string(hpe.LiquidCoolingRedundancy))
		if s.URI == v.mem.Host {
			v.identify(&d)
		}
	}
	if first == nil && len(v.mem.Systems) > 0 {
		v.inScope(parent(v.mem.Systems[0].URI))
	}
	switch {
	case on > 0:
		v.hostPower = health.HostOn
	case off > 0 && unknown == 0:
		v.hostPower = health.HostOff
	}
	v.notePower()
	return first
}

// hpeRedundancy is a word of ComputerSystem.Oem.Hpe.AggregateHealthStatus: iLO has no fan redundancy elsewhere.
func (v *visit) hpeRedundancy(home, name, word string) {
	if word == "" || strings.EqualFold(word, "unknown") {
		return
	}
	p := &part{home: home}
	p.Class, p.Name, p.Tier = health.ClassSensor, name, health.TierReadings
	p.Place = home + "#Oem.Hpe.AggregateHealthStatus"
	p.ID = v.union.identity(health.ClassSensor, home, name)
	p.Presence, p.Status = health.Present, word
	switch strings.ToLower(word) {
	case "redundant":
		p.State = health.OK
		fine(p, health.KindRedundancyLost, true, name+"="+word)
	case "failedredundant":
		p.State = health.Warning
		p.condition(health.KindRedundancyLost, health.SeverityWarning, name+"="+word)
	}
	v.union.add(p, p.Place+"/"+name)
	v.inScope(p.Place)
}

func (v *visit) identify(d *systemDoc) {
	id := v.ident()
	id.Manufacturer = cmp.Or(string(d.Manufacturer), id.Manufacturer)
	id.Model = cmp.Or(string(d.Model), id.Model)
	id.Serial = cmp.Or(serialNumber(string(d.SerialNumber)), id.Serial)
	id.SKU, id.UUID = string(d.SKU), strings.ToLower(string(d.UUID))
	id.AssetTag, id.HostName, id.BIOS = string(d.AssetTag), string(d.HostName), string(d.BiosVersion)
}

// ident is the visit's identity, which is given only whole: after a visit that read systems and managers.
func (v *visit) ident() *health.Identity {
	if v.found == nil {
		v.found = &health.Identity{}
	}
	return v.found
}

type managerDoc struct {
	Name, Model, FirmwareVersion, Manufacturer, SerialNumber, ManagerType text
	DateTime                                                              text
	Status                                                                status
}

// readManagers reads the BMC's own health and firmware.
func (v *visit) readManagers() {
	var uris []string
	for _, m := range v.mem.Managers {
		uris = append(uris, m.URI)
	}
	v.prefetch(uris)
	whole := true
	for _, m := range v.mem.Managers {
		var d managerDoc
		id := health.ComponentID(string(health.ClassBMC) + "/" + idText(segment(m.URI)))
		if e := v.into(m.URI, &d); e != nil {
			whole = false
			v.gap(m.URI, e, "", id)
			v.goneLink(e)
			continue
		}
		p := &part{home: m.URI}
		p.Class, p.ID, p.Place, p.Tier = health.ClassBMC, id, parent(m.URI), health.TierHealth
		p.Name = string(cmp.Or(d.Name, text(segment(m.URI))))
		p.Manufacturer, p.Model, p.Firmware = string(d.Manufacturer), string(d.Model), string(d.FirmwareVersion)
		p.Serial = serialNumber(string(d.SerialNumber))
		p.judge(d.Status, true)
		v.readClock(p, m.URI, &d)
		v.union.add(p, m.URI)
		if id := v.ident(); id.BMCFirmware == "" {
			id.BMCFirmware, id.BMCModel = string(d.FirmwareVersion), string(d.Model)
		}
	}
	if whole && len(v.mem.Managers) > 0 {
		v.inScope(parent(v.mem.Managers[0].URI))
	}
	if whole && v.found != nil && (v.found.Model != "" || v.found.Serial != "" || v.found.BMCFirmware != "") {
		v.identity = v.found
	}
	v.checkFirmware()
}

// firmware is the key of what is learned: a new one behaves anew.
func (v *visit) checkFirmware() {
	fw := []string{}
	for _, m := range v.mem.Managers {
		var d managerDoc
		v.mu.Lock()
		doc := v.docs[m.URI]
		v.mu.Unlock()
		if doc == nil || doc.err != nil {
			return // not read: nothing to compare
		}
		if decode(doc.raw, &d) == nil {
			fw = append(fw, string(d.FirmwareVersion))
		}
	}
	now := strings.Join(fw, "|")
	if now == "" {
		return
	}
	if v.mem.Firmware != "" && v.mem.Firmware != now {
		v.c.o.Log.Info("firmware changed, learning anew", "target", v.c.id, "from", v.mem.Firmware, "to", now)
		v.mem.forget()
	}
	v.mem.Firmware = now
}

type chassisDoc struct {
	Name, Manufacturer, Model, SerialNumber, PartNumber, AssetTag, SKU, ChassisType text
	Status                                                                          status
	PhysicalSecurity                                                                object[struct{ IntrusionSensor text }]
	Location                                                                        location
	Oem                                                                             object[struct {
		Hpe object[struct{ SmartStorageBattery many[smartBattery] }]
	}]
}

type smartBattery struct {
	Index                                             number
	ProductName, Model, SerialNumber, FirmwareVersion text
	ChargeLevelPercent                                number
	Status                                            status
}

// readChassisDocs reads the chassis' own health and their intrusion sensors.
func (v *visit) readChassisDocs() {
	var uris []string
	for _, c := range v.mem.Chassis {
		uris = append(uris, c.URI)
	}
	v.prefetch(uris)
	whole := true
	for _, c := range v.mem.Chassis {
		var d chassisDoc
		id := health.ComponentID(string(health.ClassChassis) + "/" + idText(segment(c.URI)))
		if e := v.into(c.URI, &d); e != nil {
			whole = false
			v.gap(c.URI, e, "", id)
			v.goneLink(e)
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.ID, p.Place, p.Tier = health.ClassChassis, id, "/redfish/v1/Chassis", health.TierHealth
		p.Name = string(cmp.Or(d.Name, text(c.ID)))
		p.Manufacturer, p.Model, p.Serial = string(d.Manufacturer), string(d.Model), serialNumber(string(d.SerialNumber))
		p.PartNumber, p.Location = string(cmp.Or(d.PartNumber, d.SKU)), d.Location.label
		p.judge(d.Status, true)
		v.union.add(p, c.URI)
		if c.URI == v.mem.Primary {
			id := v.ident()
			id.Manufacturer = cmp.Or(id.Manufacturer, p.Manufacturer)
			id.Model, id.Serial = cmp.Or(id.Model, p.Model), cmp.Or(id.Serial, p.Serial)
		}
		if s := string(d.PhysicalSecurity.V.IntrusionSensor); s != "" {
			v.intrusion(&c, s)
		}
		for i, b := range d.Oem.V.Hpe.V.SmartStorageBattery {
			v.smartBattery(&c, i, b)
		}
	}
	if whole && len(v.mem.Chassis) > 0 {
		v.inScope("/redfish/v1/Chassis")
	}
}

func (v *visit) intrusion(c *chassis, word string) {
	p := &part{home: c.URI}
	p.Class, p.Tier, p.Place = health.ClassIntrusion, health.TierHealth, c.URI+"#PhysicalSecurity"
	p.ID = v.union.identity(health.ClassIntrusion, c.URI, "IntrusionSensor")
	p.Name, p.Status = "Chassis intrusion", "IntrusionSensor="+word
	p.Presence = health.Present
	switch schemas.IntrusionSensor(word) {
	case schemas.NormalIntrusionSensor:
		p.State = health.OK
		fine(p, health.KindIntrusion, true, p.Status)
	case schemas.HardwareIntrusionIntrusionSensor, schemas.TamperingDetectedIntrusionSensor:
		p.State = health.Warning
		p.condition(health.KindIntrusion, health.SeverityWarning, p.Status)
	}
	v.union.add(p, p.Place)
	v.inScope(p.Place)
}

func (v *visit) smartBattery(c *chassis, i int, b smartBattery) {
	n := float64(i + 1)
	if b.Index.OK {
		n = b.Index.V
	}
	p := &part{home: c.URI}
	p.Class, p.Tier, p.Place = health.ClassBattery, health.TierHealth, c.URI+"#Oem.Hpe.SmartStorageBattery"
	p.ID = v.union.identity(health.ClassBattery, c.URI, "SmartStorageBattery."+formatNumber(n))
	p.Name, p.Model = string(cmp.Or(b.ProductName, "Smart Storage Battery")), string(b.Model)
	p.Serial, p.Firmware = serialNumber(string(b.SerialNumber)), string(b.FirmwareVersion)
	p.judge(b.Status, false)
	v.union.add(p, p.Place+"/"+formatNumber(n))
	v.inScope(p.Place)
}
