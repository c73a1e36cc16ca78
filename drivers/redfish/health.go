package redfish

import (
	"cmp"
	"slices"
	"strings"

	"dewline/health"
)

// readHealth reads the slow parts: storage, memory, processors, network adapters.
func (v *visit) readHealth() {
	var systems []*system
	for i := range v.mem.Systems {
		systems = append(systems, &v.mem.Systems[i])
	}
	slices.SortStableFunc(systems, func(a, b *system) int { // the host names what it shares with its baseboard
		switch v.mem.Host {
		case a.URI:
			return -1
		case b.URI:
			return 1
		}
		return 0
	})
	for _, s := range systems {
		if s.Processors != "" {
			v.readProcessors(s)
		}
		if s.Memory != "" {
			v.readMemory(s)
		}
		v.readDisks(s)
	}
	home := ""
	if len(v.mem.Systems) > 0 {
		home = v.mem.Host
	}
	for _, c := range v.mem.Chassis {
		if c.Drives != "" {
			if uris, ok := v.collection(c.Drives, "drives"); ok {
				v.readDrives(cmp.Or(home, c.URI), c.Drives, "", uris, true, true)
			}
		}
		if len(c.Linked) > 0 {
			v.readDrives(cmp.Or(home, c.URI), c.URI+"#Links.Drives", "", c.Linked, true, true)
		}
		if c.Adapters != "" {
			v.readAdapters(&c)
		}
	}
}

// readDisks reads what a system stores on: Storage, then the trees that tell of the same again.
func (v *visit) readDisks(s *system) {
	drives, volumes := v.count(health.ClassDrive), v.count(health.ClassVolume)
	before := v.drivesGap
	v.drivesGap = nil
	if s.Storage != "" {
		v.readStorage(s)
	}
	s.VolumesBy.learn(v.count(health.ClassVolume)-volumes, v.drivesGap == nil)
	if s.SmartStorage != "" {
		v.readSmartStorage(s)
	}
	drives = v.count(health.ClassDrive) - drives
	s.DrivesBy.learn(drives, v.drivesGap == nil)
	if s.SimpleStorage != "" {
		v.readSimpleStorage(s)
	}
	v.drivesGap = cmp.Or(before, v.drivesGap)
}

func (v *visit) count(class health.Class) int {
	n := 0
	for _, p := range v.union.list {
		if p.Class == class {
			n++
		}
	}
	return n
}

type processorDoc struct {
	ID, Name, ProcessorType, Manufacturer, Model, SerialNumber, PartNumber, Socket, FirmwareVersion text
	Status                                                                                          status
	Location                                                                                        location
	TotalCores                                                                                      number
}

// readProcessors reads processors of every type; GPUs and accelerators are ClassGPU.
func (v *visit) readProcessors(s *system) {
	uris, whole := v.collection(s.Processors, "processors")
	uris = slices.DeleteFunc(uris, func(u string) bool { return strings.EqualFold(segment(u), "Settings") })
	v.prefetch(uris)
	for _, u := range uris {
		var d processorDoc
		if e := v.into(u, &d); e != nil {
			if v.later(u, e) {
				continue
			}
			whole = false
			v.gapMember(u, e, v.union.identity(health.ClassCPU, s.URI, segment(u)))
			continue
		}
		p := &part{home: s.URI}
		p.Class = health.ClassCPU
		switch strings.ToUpper(string(d.ProcessorType)) {
		case "GPU", "ACCELERATOR", "FPGA", "DSP", "OEM", "PARTITION":
			p.Class = health.ClassGPU
		}
		p.Place, p.Tier = s.Processors, health.TierHealth
		p.ID = v.union.identity(p.Class, s.URI, segment(u))
		p.Name = string(cmp.Or(d.Name, d.ID, text(segment(u))))
		p.Location = string(cmp.Or(d.Socket, text(d.Location.label)))
		p.Manufacturer, p.Model, p.Firmware = string(d.Manufacturer), string(d.Model), string(d.FirmwareVersion)
		p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
		p.judge(d.Status, false)
		if q := v.twin(p, s.Processors); q != nil {
			q.also(p)
			v.union.byURI[u] = q
			continue
		}
		v.union.add(p, u)
	}
	if whole {
		v.inScope(s.Processors)
	}
}

// twin finds the part that another system stated already: a host and its baseboard (NVIDIA GB200) both list the CPUs and
// their memory, under the same serial number. Within one system nothing is a twin: modules may truly share a serial.
func (v *visit) twin(p *part, from string) *part {
	if p.Serial == "" {
		return nil
	}
	alike := func(a, b string) bool { return a == "" || b == "" || a == b }
	for _, q := range v.union.list {
		if q.Class == p.Class && q.Serial == p.Serial && q.home != p.home && !q.claimed[from] && alike(q.Model, p.Model) &&
			alike(q.PartNumber, p.PartNumber) && (q.CapacityBytes == 0 || p.CapacityBytes == 0 || q.CapacityBytes == p.CapacityBytes) {
			if q.claimed == nil {
				q.claimed = map[string]bool{}
			}
			q.claimed[from] = true
			return q
		}
	}
	return nil
}

type memoryDoc struct {
	ID, Name, DeviceLocator, Manufacturer, SerialNumber, PartNumber, MemoryDeviceType, Model text
	Status                                                                                   status
	CapacityMiB                                                                              number
	Location                                                                                 location
	Oem                                                                                      object[struct {
		Hpe, Hp object[struct{ DIMMStatus text }]
	}]
	DIMMStatus text
}

// readMemory reads memory modules. Two of them may truly share a serial number: nothing is merged here.
func (v *visit) readMemory(s *system) {
	uris, whole := v.collection(s.Memory, "memory")
	v.prefetch(uris)
	for _, u := range uris {
		id := v.union.identity(health.ClassMemory, s.URI, segment(u))
		var d memoryDoc
		if e := v.into(u, &d); e != nil {
			if v.later(u, e) {
				continue
			}
			whole = false
			v.gapMember(u, e, id)
			continue
		}
		p := &part{home: s.URI}
		p.Class, p.ID, p.Place, p.Tier = health.ClassMemory, id, s.Memory, health.TierHealth
		p.Name = string(cmp.Or(d.DeviceLocator, d.Name, text(segment(u))))
		p.Location, p.Manufacturer = d.Location.label, string(d.Manufacturer)
		p.Model, p.PartNumber = string(cmp.Or(d.Model, d.MemoryDeviceType)), string(d.PartNumber)
		p.Serial = serialNumber(string(d.SerialNumber))
		if d.CapacityMiB.V > 0 && d.CapacityMiB.V < 1e9 {
			p.CapacityBytes = int64(d.CapacityMiB.V) << 20
		}
		p.judge(d.Status, false)
		// iLO 4 and older iLO 5 leave Status out and say it in DIMMStatus.
		w := string(cmp.Or(d.Oem.V.Hpe.V.DIMMStatus, d.Oem.V.Hp.V.DIMMStatus, d.DIMMStatus))
		if d.Status.Health == "" && d.Status.State == "" && w != "" {
			p.Status = "DIMMStatus=" + w
			switch strings.ToLower(w) {
			case "goodinuse":
				p.State = health.OK
			case "notpresent":
				p.Presence = health.Absent
			case "degraded":
				p.State = health.Warning
			case "dimmstatusfailed", "failed":
				p.State = health.Critical
			}
		}
		if q := v.twin(p, s.Memory); q != nil {
			q.also(p)
			v.union.byURI[u] = q
			continue
		}
		v.union.add(p, u)
	}
	if whole {
		v.inScope(s.Memory)
	}
}

type adapterDoc struct {
	ID, Name, Manufacturer, Model, SerialNumber, PartNumber text
	Status                                                  status
	Location                                                location
	Controllers                                             many[struct {
		FirmwarePackageVersion text
		Location               location
	}]
	Ports, NetworkPorts link
}

// readAdapters reads NetworkAdapters and their ports.
func (v *visit) readAdapters(c *chassis) {
	uris, whole := v.collection(c.Adapters, "adapters")
	v.prefetch(uris)
	ports := map[string]string{}
	for _, u := range uris {
		id := v.union.identity(health.ClassNIC, c.URI, segment(u))
		var d adapterDoc
		if e := v.into(u, &d); e != nil {
			if v.later(u, e) {
				continue
			}
			whole = false
			v.gapMember(u, e, id)
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.ID, p.Place, p.Tier = health.ClassNIC, id, c.Adapters, health.TierHealth
		p.Name = string(cmp.Or(d.Name, d.Model, text(segment(u))))
		p.Location, p.Manufacturer, p.Model = d.Location.label, string(d.Manufacturer), string(d.Model)
		p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
		for _, x := range d.Controllers {
			p.Firmware = cmp.Or(p.Firmware, string(x.FirmwarePackageVersion))
			p.Location = cmp.Or(p.Location, x.Location.label)
		}
		p.judge(d.Status, true)
		v.union.add(p, u)
		ports[u] = cmp.Or(v.link(d.Ports), v.link(d.NetworkPorts)) // NetworkPorts is the form before NetworkAdapter v1.5
	}
	if whole {
		v.inScope(c.Adapters)
	}
	for _, u := range uris {
		if place := ports[u]; place != "" {
			v.readPorts(c, u, place)
		}
	}
}

type portDoc struct {
	Name, LinkStatus, LinkState, PortID    text
	PhysicalPortNumber                     text
	Status                                 status
	CurrentSpeedGbps, CurrentLinkSpeedMbps number
	Location                               location
}

// readPorts reads the ports of a network adapter. That a link is down is no fault: most ports have no cable.
func (v *visit) readPorts(c *chassis, adapter, place string) {
	uris, whole := v.collection(place, "ports")
	v.prefetch(uris)
	for _, u := range uris {
		id := v.union.identity(health.ClassNIC, c.URI, segment(adapter)+":"+segment(u))
		var d portDoc
		if e := v.into(u, &d); e != nil {
			if v.later(u, e) {
				continue
			}
			whole = false
			v.gapMember(u, e, id)
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.ID, p.Place, p.Tier = health.ClassNIC, id, place, health.TierHealth
		p.Name = segment(adapter) + " port " + string(cmp.Or(d.PortID, d.PhysicalPortNumber, text(segment(u))))
		p.Location = d.Location.label
		p.judge(d.Status, false)
		word := string(cmp.Or(d.LinkStatus, d.LinkState))
		if word != "" {
			p.Status = cut(strings.TrimPrefix(p.Status+"; LinkStatus="+word, "; "), health.MaxText)
		}
		if p.Presence == health.PresenceUnknown {
			p.Presence = health.Present // Dell and Supermicro state no Status of a port
		}
		speed := d.CurrentLinkSpeedMbps
		if d.CurrentSpeedGbps.OK {
			speed = number{V: d.CurrentSpeedGbps.V * 1000, OK: true}
		}
		switch low := strings.ToLower(word); {
		case strings.Contains(low, "down"), low == "nolink":
			speed = number{V: 0, OK: true}
		case speed.V == 0:
			speed = number{} // up at 0: not told
		}
		if speed.V >= 0 && speed.V < 1e9 {
			p.set(health.LinkSpeed, health.MegabitPerS, speed, nil)
		}
		v.union.add(p, u)
	}
	if whole {
		v.inScope(place)
	}
}

type pcieDoc struct {
	ID, Name, Manufacturer, Model, SerialNumber, PartNumber, FirmwareVersion text
	Status                                                                   status
}

// readPCIe reads PCIe devices, once a day: a machine has dozens and they seldom say anything.
func (v *visit) readPCIe() {
	for _, c := range v.mem.Chassis {
		if c.PCIe == "" {
			continue
		}
		uris, whole := v.collection(c.PCIe, "pcie")
		v.prefetch(uris)
		for _, u := range uris {
			id := v.union.identity(health.ClassPCIe, c.URI, segment(u))
			var d pcieDoc
			if e := v.into(u, &d); e != nil {
				if v.later(u, e) {
					continue
				}
				whole = false
				v.gapMember(u, e, id)
				continue
			}
			p := &part{home: c.URI}
			p.Class, p.ID, p.Place, p.Tier = health.ClassPCIe, id, c.PCIe, health.TierInventory
			p.Name = string(cmp.Or(d.Name, d.Model, text(segment(u))))
			p.Manufacturer, p.Model, p.Firmware = string(d.Manufacturer), string(d.Model), string(d.FirmwareVersion)
			p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
			p.judge(d.Status, true)
			v.union.add(p, u)
		}
		if whole {
			v.inScope(c.PCIe)
		}
	}
}

type smartControllerDoc struct {
	Name, Model, SerialNumber, Location text
	Status                              status
	FirmwareVersion                     object[struct {
		Current object[struct{ VersionString text }]
	}]
	Links object[struct{ PhysicalDrives, LogicalDrives link }]
}

// readSmartStorage reads HPE's own tree. iLO 5 states the same in Storage (merged by serial number), iLO 4 only here.
func (v *visit) readSmartStorage(s *system) {
	var d struct {
		Links object[struct{ ArrayControllers, HostBusAdapters link }]
		Old   object[struct{ ArrayControllers, HostBusAdapters link }] `json:"links"`
	}
	if e := v.into(s.SmartStorage, &d); e != nil {
		v.gap(s.SmartStorage, e, s.SmartStorage, "")
		v.storageGap(e)
		return
	}
	for _, l := range []link{cmp.Or(d.Links.V.ArrayControllers, d.Old.V.ArrayControllers), cmp.Or(d.Links.V.HostBusAdapters, d.Old.V.HostBusAdapters)} {
		place := v.link(l)
		if place == "" {
			continue
		}
		uris, whole := v.collection(place, "smart")
		if !whole {
			v.storageGap(v.errorOf(place))
		}
		for _, u := range uris {
			var c smartControllerDoc
			if e := v.into(u, &c); e != nil {
				if v.later(u, e) {
					continue
				}
				whole = false
				v.storageGap(e)
				v.gapMember(u, e, v.union.identity(health.ClassStorageController, s.URI, "SmartStorage."+segment(u)))
				continue
			}
			if !v.smartController(s, place, u, &c) {
				whole = false
			}
			if disks := v.link(c.Links.V.PhysicalDrives); disks != "" {
				if uris, ok := v.collection(disks, "smart"); ok {
					v.readDrives(s.URI, disks, "SmartStorage."+segment(u), uris, true, true)
				} else {
					v.storageGap(v.errorOf(disks))
				}
			}
			if vols := v.link(c.Links.V.LogicalDrives); vols != "" {
				v.smartVolumes(s, vols, segment(u))
			}
		}
		if whole {
			v.inScope(place)
		}
	}
}

// smartController reports whether the controller could be told from those of Storage.
func (v *visit) smartController(s *system, place, uri string, c *smartControllerDoc) bool {
	serial := serialNumber(string(c.SerialNumber))
	for _, p := range v.union.list {
		if p.Class == health.ClassStorageController && serial != "" && p.Serial == serial {
			v.union.byURI[uri] = p
			v.mem.Same[uri] = alias{p.ID, p.Place, p.Name}
			return true
		}
	}
	p := &part{home: s.URI}
	p.Class, p.Place, p.Tier = health.ClassStorageController, place, health.TierHealth
	p.ID = v.union.identity(health.ClassStorageController, s.URI, "SmartStorage."+segment(uri))
	p.Name, p.Model, p.Serial = string(cmp.Or(c.Model, c.Name)), string(c.Model), serial
	p.Location, p.Firmware = string(c.Location), string(c.FirmwareVersion.V.Current.V.VersionString)
	p.judge(c.Status, true)
	return v.fallback(p, uri)
}

// smartVolumes reads logical drives where Storage states no volumes: the two have no identity in common.
func (v *visit) smartVolumes(s *system, place, controller string) {
	switch {
	case s.VolumesBy == byFallback:
		v.readVolumes(s, place, "SmartStorage."+controller)
	case s.VolumesBy == byStorage && v.learning:
		v.inScope(place) // volumes that were named by it before are so no longer
	}
}
