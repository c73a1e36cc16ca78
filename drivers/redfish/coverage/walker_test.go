package coverage_test

import (
	"regexp"
	"slices"
	"strings"

	"dewline/health"
)

// part is one physical part of a machine, as the documents of a capture tell of it.
type part struct {
	class health.Class
	also  []health.Class // classes that are as true

	urls          []string // every document or fragment that tells of it
	ids, names    []string
	serial, model string

	state, health string // Status.State and Status.Health, "" if not told
	// values are what the documents say of a quantity: the legacy and the modern tree are recorded a moment apart, and
	// either is right.
	values map[health.Quantity][]float64
	demand []health.Quantity // a present part must be reported with these
	forbid []health.Quantity // and never with these

	// optional says why the part may be left out; "" it may not.
	optional string

	source  string   // DataSourceUri
	context string   // PhysicalContext
	related []string // RelatedItem
}

func (p *part) url() string    { return p.urls[0] }
func (p *part) scope() string  { return scope(p.urls[0]) }
func (p *part) absent() bool   { return p.state == "Absent" }
func (p *part) measures() bool { return p.state == "" || p.state == "Enabled" || p.state == "Degraded" }

func newPart(class health.Class, url string, d doc) *part {
	st := obj(d, "Status")
	p := &part{
		class: class, urls: []string{url}, serial: str(d, "SerialNumber"), model: str(d, "Model"),
		state: str(st, "State"), health: str(st, "Health"),
		values: map[health.Quantity][]float64{},
	}
	p.ids = words(str(d, "Id"), str(d, "MemberId"))
	if len(p.ids) == 0 {
		p.ids = []string{lastSegment(url)}
	}
	p.names = words(str(d, "Name"), str(d, "FanName"), str(d, "DeviceLocator"), str(d, "DeviceName"))
	for _, r := range list(d["RelatedItem"]) {
		if o, ok := r.(doc); ok {
			p.related = append(p.related, cleanURL(str(o, "@odata.id")))
		}
	}
	return p
}

func words(ss ...string) []string {
	return slices.DeleteFunc(ss, func(s string) bool { return s == "" })
}

// says notes a value; one of a part that measures is demanded of the driver.
func (p *part) says(q health.Quantity, v float64, demanded bool) {
	p.values[q] = append(p.values[q], v)
	if demanded && p.measures() && !slices.Contains(p.demand, q) {
		p.demand = append(p.demand, q)
	}
}

func (p *part) says2(q health.Quantity, d doc, key string, demanded bool) {
	if v, ok := num(d, key); ok {
		p.says(q, v, demanded)
	} else if v, ok := num(obj(d, key), "Reading"); ok { // a sensor excerpt
		p.says(q, v, demanded)
	}
}

// absorb takes in another document's account of the same part.
func (p *part) absorb(o *part) {
	p.urls = append(p.urls, o.urls...)
	p.ids = append(p.ids, o.ids...)
	p.names = append(p.names, o.names...)
	p.related = append(p.related, o.related...)
	p.serial, p.model = first(p.serial, o.serial), first(p.model, o.model)
	p.state, p.health = first(p.state, o.state), worse(p.health, o.health)
	p.source = first(p.source, o.source)
	for q, v := range o.values {
		p.values[q] = append(p.values[q], v...)
	}
	for _, q := range o.demand {
		if !slices.Contains(p.demand, q) {
			p.demand = append(p.demand, q)
		}
	}
	p.forbid = append(p.forbid, o.forbid...)
}

func first(ss ...string) string {
	for _, s := range ss {
		if s != "" {
			return s
		}
	}
	return ""
}

func worse(a, b string) string {
	order := []string{"", "OK", "Warning", "Critical"}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}

// truth is everything the walker found in a capture.
type truth struct {
	parts []*part
	logs  []*logTruth
	off   bool // the host does not run
}

func (w *truth) of(c health.Class) []*part {
	var l []*part
	for _, p := range w.parts {
		if p.class == c {
			l = append(l, p)
		}
	}
	return l
}

// walked are the classes the walker counts.
var walked = []health.Class{
	health.ClassFan, health.ClassPSU, health.ClassTemperature, health.ClassHumidity, health.ClassLeakDetector,
	health.ClassDrive, health.ClassMemory, health.ClassCPU, health.ClassGPU,
}

func walk(t *tree) *truth {
	w := &truth{}
	w.parts = slices.Concat(fans(t), psus(t), temperatures(t), humidities(t), leaks(t), drives(t), memory(t), processors(t))
	w.logs = logs(t)
	t.each(func(_, kind string, d doc) {
		w.off = w.off || kind == "ComputerSystem" && str(d, "PowerState") == "Off"
	})
	return w
}

// settings are documents about a part's future, not about the part: NVIDIA has Processors/CPU_0/Settings of type Processor,
// Lenovo Systems/1/Pending.
func settings(url string) bool {
	last := lastSegment(url)
	return last == "Settings" || last == "SD" || strings.Contains(url, "/Pending/") || strings.Contains(url, "/Settings/")
}

// psus: Power.PowerSupplies and PowerSubsystem/PowerSupplies, the same serial once (Dell, Lenovo show both).
func psus(t *tree) []*part {
	var legacy, modern []*part
	t.each(func(url, kind string, d doc) {
		if kind == "PowerSupply" {
			p := newPart(health.ClassPSU, url, d)
			m := t.docs[link(d, "Metrics")]
			p.says2(health.OutputPower, m, "OutputPowerWatts", true)
			p.says2(health.InputPower, m, "InputPowerWatts", true)
			p.says2(health.InputVoltage, m, "InputVoltage", true)
			modern = append(modern, p)
			return
		}
		for i, r := range rows(d, "PowerSupplies") {
			p := newPart(health.ClassPSU, fragment(url, "PowerSupplies", i), r)
			// Lenovo fills LastPowerOutputWatts with something else than OutputPowerWatts, both are told.
			p.says2(health.OutputPower, r, "PowerOutputWatts", true)
			p.says2(health.OutputPower, r, "LastPowerOutputWatts", true)
			p.says2(health.InputPower, r, "PowerInputWatts", true)
			// Intel S2600BPB writes watts (572, 13) there: a mains voltage that cannot be one is not demanded.
			v, _ := num(r, "LineInputVoltage")
			p.says2(health.InputVoltage, r, "LineInputVoltage", v >= 80 && v <= 500)
			legacy = append(legacy, p)
		}
	})
	return union(modern, legacy, func(a, b *part) bool {
		if a.serial != "" && b.serial != "" {
			return a.serial == b.serial
		}
		return a.scope() == b.scope() && shareName(a, b)
	})
}

// leaks: LeakDetector resources (NVIDIA GB200), excerpts in LeakDetection.LeakDetectorGroups (newer schema) unless their
// DataSourceUri is such a resource, and the leak alarms of HPE Cray EX under Chassis/Enclosure/Oem/Alarms.
func leaks(t *tree) []*part {
	var l []*part
	t.each(func(url, kind string, d doc) {
		id := strings.ToLower(str(d, "Id") + str(d, "Name"))
		if kind == "LeakDetector" || kind == "Alarm" && strings.Contains(id, "leak") {
			l = append(l, newPart(health.ClassLeakDetector, url, d))
		}
	})
	t.each(func(url, _ string, d doc) {
		for i, g := range rows(d, "LeakDetectorGroups") {
			for j, r := range rows(g, "Detectors") {
				p := newPart(health.ClassLeakDetector, fragment(fragment(url, "LeakDetectorGroups", i), "Detectors", j), r)
				src := cleanURL(str(r, "DataSourceUri"))
				if k := slices.IndexFunc(l, func(o *part) bool { return src != "" && slices.Contains(o.urls, src) }); k >= 0 {
					l[k].absorb(p)
					continue
				}
				l = append(l, p)
			}
		}
	})
	return l
}

// memory: Memory resources. Modules of one list may share a serial (placeholders), so they are never merged; but NVIDIA
// GB200 shows each CPU's memory under two systems, System_0 and HGX_Baseboard_0, with the same serial and size.
func memory(t *tree) []*part {
	var l []*part
	t.each(func(url, kind string, d doc) {
		if kind != "Memory" || settings(url) {
			return
		}
		p := newPart(health.ClassMemory, url, d)
		p.model = str(d, "PartNumber")
		l = mergeAcross(l, p)
	})
	return l
}

// processors: Processor resources, GPUs apart. CPUs of NVIDIA GB200 stand in two systems, as its memory does. For FPGAs and
// other accelerators (dmtf-rackmount1) there is no class of their own: whether and as what they are told of is open.
func processors(t *tree) []*part {
	var l []*part
	t.each(func(url, kind string, d doc) {
		if kind != "Processor" || settings(url) {
			return
		}
		switch str(d, "ProcessorType") {
		case "CPU", "":
			l = mergeAcross(l, newPart(health.ClassCPU, url, d))
		case "GPU":
			l = mergeAcross(l, newPart(health.ClassGPU, url, d))
		default:
			p := newPart(health.ClassGPU, url, d)
			p.also = []health.Class{health.ClassCPU, health.ClassPCIe, health.ClassSensor}
			p.optional = "no class for " + str(d, "ProcessorType")
			l = append(l, p)
		}
	})
	return l
}

// mergeAcross adds a part to a list unless another scope (another system) lists the same serial.
func mergeAcross(l []*part, p *part) []*part {
	k := slices.IndexFunc(l, func(o *part) bool {
		return p.class == o.class && realSerial(p.serial) && p.serial == o.serial && p.scope() != o.scope()
	})
	if k >= 0 {
		l[k].absorb(p)
		return l
	}
	return append(l, p)
}

var placeholder = regexp.MustCompile(`(?i)^(0*|n/?a|none|unknown|not ?specified|no ?dimm|to be filled.*)$`)

func realSerial(s string) bool { return !placeholder.MatchString(s) }

// drives: every Drive, wherever it is listed (Storage, Chassis, or as an object inside another document), the same serial
// once: GB200 lists its nine under Systems and under Chassis, HPE iLO 5 shows SmartStorage DiskDrives again as Drives.
// SimpleStorage devices count only where no Drive is told of (dmtf-rackmount1): elsewhere (Dell, Supermicro) they are the
// same ones without a serial, and Dell's has a backplane among them.
func drives(t *tree) []*part {
	var l []*part
	add := func(url string, d doc) {
		p := newPart(health.ClassDrive, url, d)
		k := slices.IndexFunc(l, func(o *part) bool {
			return realSerial(p.serial) && p.serial == o.serial || slices.Contains(o.urls, url)
		})
		if k >= 0 {
			l[k].absorb(p)
			return
		}
		l = append(l, p)
	}
	t.each(func(url, kind string, d doc) {
		if (kind == "Drive" || strings.HasSuffix(kind, "DiskDrive")) && !settings(url) {
			add(url, d)
		}
		embedded(d, "Drives", func(i int, r doc) {
			own := cleanURL(str(r, "@odata.id"))
			if own == "" || own == url {
				own = fragment(url, "Drives", i)
			}
			add(own, r)
		})
	})
	if len(l) > 0 {
		return l
	}
	t.each(func(url, kind string, d doc) {
		if kind != "SimpleStorage" {
			return
		}
		for i, r := range rows(d, "Devices") {
			add(fragment(url, "Devices", i), r)
		}
	})
	return l
}

// embedded calls f with the objects of every array of that name, at any depth.
func embedded(v any, key string, f func(int, doc)) {
	switch v := v.(type) {
	case doc:
		for i, r := range rows(v, key) {
			f(i, r)
		}
		for _, x := range v {
			embedded(x, key, f)
		}
	case []any:
		for _, x := range v {
			embedded(x, key, f)
		}
	}
}
