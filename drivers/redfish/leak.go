package redfish

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"dewline/health"

	"github.com/stmcginnis/gofish/schemas"
)

// detectorDoc is a LeakDetector, or its excerpt in LeakDetectorGroups.Detectors.
type detectorDoc struct {
	ID                                            text `json:"Id"`
	ODataID                                       link `json:"@odata.id"`
	Source                                        link `json:"DataSourceUri"`
	Name, UserLabel, DeviceName                   text
	DetectorState                                 text
	LeakDetectorType                              text
	PhysicalContext, PhysicalSubContext           text
	Status                                        status
	Enabled                                       flag
	Location                                      location
	Manufacturer, Model, SerialNumber, PartNumber text
}

// detector judges a leak detector. DetectorState should equal Health (LeakDetector schema), a broken detector belongs in
// Status.Conditions; NVIDIA tells it by State=Degraded, with a DetectorState of Critical all the same
// (infra-controller #4821). So a bad DetectorState always counts as a leak, and a State that is not Enabled counts as a
// fault of the detector beside it: a soaked one looks like that too.
func detector(p *part, d *detectorDoc) {
	p.judge(d.Status, false)
	ds := canonicalDetector(string(d.DetectorState))
	if ds != "" {
		p.Status = strings.TrimPrefix(p.Status+"; DetectorState="+ds, "; ")
	}
	fault := func(why string) { p.condition(health.KindDetectorFault, health.SeverityWarning, why) }
	switch schemas.DetectorState(ds) {
	case schemas.CriticalDetectorState:
		p.State = health.Critical
		p.condition(health.KindLeakDetected, health.SeverityCritical, "DetectorState="+ds)
	case schemas.WarningDetectorState:
		p.State = health.Worst(p.State, health.Warning)
		p.condition(health.KindLeakDetected, health.SeverityWarning, "DetectorState="+ds)
	case schemas.UnavailableDetectorState, schemas.AbsentDetectorState:
		if ds == string(schemas.AbsentDetectorState) {
			p.Presence = health.Absent
		}
		if p.State == health.OK {
			p.State = health.Unknown
		}
		fault("DetectorState=" + ds)
	case schemas.OKDetectorState:
		switch {
		case p.State == health.Warning || p.State == health.Critical:
			fault("DetectorState=OK, Status.Health=" + d.Status.Health)
		case running(d.Status):
			p.State = health.OK // OpenBMC states no Health
		}
		p.condition(health.KindLeakDetected, health.SeverityOK, "DetectorState="+ds)
	default:
		// No DetectorState: Health is the next best word for it. A word that is not known is no dry floor, whatever Health says.
		if ds != "" && p.State == health.OK {
			p.State = health.Unknown
			break
		}
		switch healthOf(d.Status.Health) {
		case health.Critical:
			p.condition(health.KindLeakDetected, health.SeverityCritical, "Status.Health="+d.Status.Health)
		case health.Warning:
			p.condition(health.KindLeakDetected, health.SeverityWarning, "Status.Health="+d.Status.Health)
		case health.OK:
			fine(p, health.KindLeakDetected, running(d.Status), "Status.Health="+d.Status.Health)
		}
	}
	if d.Status.State != "" && !running(d.Status) {
		fault("Status.State=" + d.Status.State)
	}
	if d.Enabled.OK && !d.Enabled.V {
		if p.State == health.OK {
			p.State = health.Unknown
		}
		fault("Enabled=false")
	}
	fine(p, health.KindDetectorFault, d.Status.State != "" || ds != "", p.Status)
	inspect(p)
}

// canonicalDetector gives the schema's spelling of a DetectorState, and other words as they are.
func canonicalDetector(s string) string {
	for _, k := range []schemas.DetectorState{
		schemas.OKDetectorState, schemas.WarningDetectorState, schemas.CriticalDetectorState,
		schemas.UnavailableDetectorState, schemas.AbsentDetectorState,
	} {
		if strings.EqualFold(s, string(k)) {
			return string(k)
		}
	}
	return s
}

// inspect says what to do where a detector is wet and at fault: it fails wet, and a soaked one is at fault.
func inspect(p *part) {
	worst := func(k health.Kind) (s health.Severity) {
		for _, c := range p.Conditions {
			if c.Kind == k {
				s = max(s, c.Severity)
			}
		}
		return s
	}
	if worst(health.KindLeakDetected) <= health.SeverityOK || worst(health.KindDetectorFault) <= health.SeverityOK {
		return
	}
	for i := range p.Conditions {
		if c := &p.Conditions[i]; c.Severity > health.SeverityOK && (c.Kind == health.KindLeakDetected || c.Kind == health.KindDetectorFault) {
			c.Evidence += "; leak or failed detector: inspect"
		}
	}
}

// fine notes that a condition was read and is not so, unless it is.
func fine(p *part, k health.Kind, read bool, evidence string) {
	if read {
		p.condition(k, health.SeverityOK, evidence)
	}
}

func (v *visit) addDetector(home, place, uri, base string, d *detectorDoc) {
	p := &part{home: home}
	p.Class, p.Place, p.Tier = health.ClassLeakDetector, place, health.TierReadings
	p.ID = v.union.identity(health.ClassLeakDetector, home, base)
	p.Name = string(cmp.Or(d.UserLabel, d.Name, d.DeviceName, text(base)))
	p.Location = d.Location.label
	p.Context = snake(string(cmp.Or(d.PhysicalSubContext, d.PhysicalContext)))
	p.Manufacturer, p.Model = string(d.Manufacturer), string(d.Model)
	p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
	p.names = norms(p.Name, string(d.Name), string(d.DeviceName), base)
	detector(p, d)
	// The same detector under Chassis.LeakDetectors and ThermalSubsystem.LeakDetection: one Id, one chassis.
	for _, q := range v.union.list {
		if q.Class == health.ClassLeakDetector && q.home == home && q.Place != place && !(q.Serial != "" && p.Serial != "" && q.Serial != p.Serial) &&
			slices.ContainsFunc(q.names, func(n string) bool { return slices.Contains(p.names, n) }) {
			q.also(p)
			v.union.byURI[uri] = q
			return
		}
	}
	v.union.add(p, uri)
}

// readDetectors reads LeakDetector resources. place is their collection, "" to take it from each URI.
func (v *visit) readDetectors(home, place string, uris []string) bool {
	whole := true
	v.prefetch(uris)
	for _, u := range uris {
		at := cmp.Or(place, v.placeOf(u))
		var d detectorDoc
		if e := v.into(u, &d); e != nil {
			whole = false
			v.gapMember(u, e, v.union.identity(health.ClassLeakDetector, home, segment(u)))
			continue
		}
		v.addDetector(home, at, u, segment(u), &d)
	}
	return whole
}

type leakDetectionDoc struct {
	LeakDetectors      collectionLink
	Detectors          many[detectorDoc]
	LeakDetectorGroups many[struct {
		GroupName       text
		HumidityPercent excerpt
		Detectors       many[detectorDoc]
	}]
	Members       many[link]
	DetectorState text
	Status        status
	Name          text
}

// readLeakDetection reads a LeakDetection resource with its detectors: linked, or only as excerpts in its groups
// (the schema's own example has detectors without a resource). Some OEMs link a collection of LeakDetections, some the
// single detector (LambdaLabs redfish_exporter). learned collects what a readings visit reads directly.
func (v *visit) readLeakDetection(home, uri string, learned *[]string) {
	v.leakDetection(home, uri, learned, 0)
}

func (v *visit) leakDetection(home, uri string, learned *[]string, depth int) {
	var d leakDetectionDoc
	keep := func() any {
		if d.DetectorState != "" || len(d.Detectors) > 0 || len(d.LeakDetectorGroups) > 0 || len(d.Members) > 0 {
			return nil
		}
		return struct{ LeakDetectors collectionLink }{d.LeakDetectors}
	}
	if e := v.contain(uri, &d, keep); e != nil {
		if e.Reason != health.ReasonNotFound {
			v.gap(uri, e, uri, "")
		}
		return
	}
	note := func(u string) {
		if !slices.Contains(*learned, u) {
			*learned = append(*learned, u)
		}
	}
	if d.DetectorState != "" { // the link leads to a detector
		var det detectorDoc
		if v.into(uri, &det) == nil {
			note(uri)
			v.addDetector(home, uri, uri, segment(uri), &det)
			v.inScope(uri)
		}
		return
	}
	if len(d.Members) > 0 && depth < 2 {
		for _, m := range d.Members {
			if u := v.link(m); u != "" && u != uri {
				v.leakDetection(home, u, learned, depth+1)
			}
		}
	}
	if place := v.collectionAt(uri, "LeakDetectors", d.LeakDetectors); place != "" {
		uris, ok := v.collection(place, "leaks")
		for _, u := range uris {
			note(u)
		}
		if v.readDetectors(home, place, uris) && ok {
			v.inScope(place)
		}
	}
	groups := false
	for gi, g := range d.LeakDetectorGroups {
		place := uri + "#" + cmp.Or(string(g.GroupName), strconv.Itoa(gi))
		for i := range g.Detectors {
			groups = v.groupDetector(home, place, uri, &g.Detectors[i], gi, i, learned) || groups
		}
		if g.HumidityPercent.Reading.OK && v.link(g.HumidityPercent.Source) == "" {
			groups = true
			p := &part{home: home}
			p.Class, p.Place, p.Tier = health.ClassHumidity, place, health.TierReadings
			p.Name = strings.TrimSpace(string(g.GroupName) + " humidity")
			p.ID = v.union.identity(health.ClassHumidity, home, p.Name)
			p.Presence = health.Present
			p.set(health.RelativeHumidity, health.Percent, relative(g.HumidityPercent.Reading), nil)
			v.union.add(p, place+"/humidity")
		}
		v.inScope(place)
	}
	for i := range d.Detectors {
		groups = v.groupDetector(home, uri+"#Detectors", uri, &d.Detectors[i], 0, i, learned) || groups
	}
	if groups {
		note(uri)
	}
}

// groupDetector takes a detector from a group's excerpt. One that links its resource is read there; the excerpt counts
// if that cannot be. It reports whether the excerpt is all there is.
func (v *visit) groupDetector(home, place, uri string, d *detectorDoc, group, i int, learned *[]string) bool {
	if src := v.link(cmp.Or(d.Source, d.ODataID)); src != "" && !strings.HasPrefix(src, uri+"#") && src != uri {
		if v.union.byURI[src] != nil {
			return false
		}
		if _, e := v.get(src); e == nil {
			if !slices.Contains(*learned, src) {
				*learned = append(*learned, src)
			}
			v.readDetectors(home, parent(src), []string{src})
			return false
		}
	}
	base := string(cmp.Or(d.UserLabel, d.DeviceName, d.Name, d.ID))
	if base == "" {
		base = "Group" + strconv.Itoa(group) + ".Detector" + strconv.Itoa(i)
	}
	v.addDetector(home, place, place+"/"+base+"/"+strconv.Itoa(i), base, d)
	return true
}

// hpeLeak is Thermal.Oem.Hpe.LiquidCoolingLeakageDetected (iLO 6 1.67 and later).
func (v *visit) hpeLeak(c *chassis, wet bool) {
	p := &part{home: c.URI}
	p.Class, p.Place, p.Tier = health.ClassLeakDetector, cmp.Or(c.Thermal, c.Cooling)+"#Oem.Hpe", health.TierReadings
	p.Name = "Liquid Cooling Leakage"
	p.ID = v.union.identity(health.ClassLeakDetector, c.URI, "LiquidCoolingLeakage")
	p.Presence, p.State = health.Present, health.OK
	p.Status = "LiquidCoolingLeakageDetected=" + strconv.FormatBool(wet)
	if wet {
		p.State = health.Critical
		p.condition(health.KindLeakDetected, health.SeverityCritical, p.Status)
	}
	fine(p, health.KindLeakDetected, true, p.Status)
	v.union.add(p, p.Place)
	v.inScope(p.Place)
}

// supermicroLeak reads the text that Supermicro puts in a sensor's Oem.SensorValue.
func supermicroLeak(p *part, w string) {
	low := strings.ToLower(w)
	switch {
	case strings.Contains(low, "not responding"), strings.Contains(low, "disconnect"), strings.Contains(low, "not present"), strings.Contains(low, "unavailable"):
		if p.State == health.OK {
			p.State = health.Unknown
		}
		p.condition(health.KindDetectorFault, health.SeverityWarning, "SensorValue="+w)
	case strings.Contains(low, "no leak"), strings.Contains(low, "not detected"), strings.Contains(low, "no liquid"), strings.Contains(low, "normal") && !strings.Contains(low, "abnormal"):
		fine(p, health.KindLeakDetected, true, "SensorValue="+w)
		fine(p, health.KindDetectorFault, true, "SensorValue="+w)
	case strings.Contains(low, "leak"), strings.Contains(low, "detected"), strings.Contains(low, "liquid"), strings.Contains(low, "abnormal"):
		p.State = health.Critical
		p.condition(health.KindLeakDetected, health.SeverityCritical, "SensorValue="+w)
	}
}

// leakSensor judges a sensor that is a leak detector by its name.
func leakSensor(p *part, d *sensorDoc) {
	has := slices.ContainsFunc(p.Conditions, func(c health.Condition) bool {
		return c.Kind == health.KindDetectorFault && c.Severity > health.SeverityOK
	})
	switch {
	case has:
	case healthOf(d.Status.Health) == health.Critical:
		p.condition(health.KindLeakDetected, health.SeverityCritical, "Status.Health="+d.Status.Health)
	case healthOf(d.Status.Health) == health.Warning:
		p.condition(health.KindLeakDetected, health.SeverityWarning, "Status.Health="+d.Status.Health)
	case healthOf(d.Status.Health) == health.OK && running(d.Status):
		fine(p, health.KindLeakDetected, true, "Status.Health="+d.Status.Health)
	}
	if d.Status.State != "" && !running(d.Status) {
		p.condition(health.KindDetectorFault, health.SeverityWarning, "Status.State="+d.Status.State)
	}
	fine(p, health.KindDetectorFault, d.Status.State != "", "Status.State="+d.Status.State)
	inspect(p)
}

type alarmDoc struct {
	Name, AlarmState, Severity text
}

// readAlarms reads the OEM alarms of a Cray EX blade; each leak alarm is a detector. Armed is dry, Triggered is wet
// with the alarm's own severity, disarmed is no detector at work.
func (v *visit) readAlarms(c *chassis) {
	uris, ok := v.collection(c.Alarms, "alarms")
	uris = slices.DeleteFunc(uris, func(u string) bool { return !leakName.MatchString(segment(u)) })
	v.prefetch(uris)
	whole := ok
	for _, u := range uris {
		id := v.union.identity(health.ClassLeakDetector, c.URI, segment(u))
		var d alarmDoc
		if e := v.into(u, &d); e != nil {
			whole = false
			v.gapMember(u, e, id)
			continue
		}
		p := &part{home: c.URI}
		p.Class, p.Place, p.Tier, p.ID = health.ClassLeakDetector, c.Alarms, health.TierReadings, id
		p.Name = string(cmp.Or(d.Name, text(segment(u))))
		p.Presence = health.Present
		state := strings.ToLower(string(d.AlarmState))
		p.Status = "AlarmState=" + string(d.AlarmState)
		switch {
		case state == "armed", state == "cleared", state == "normal", state == "ok":
			p.State = health.OK
			fine(p, health.KindLeakDetected, true, p.Status)
			fine(p, health.KindDetectorFault, true, p.Status)
		case strings.Contains(state, "trigger"), state == "active", state == "asserted", state == "fired":
			sev := severityOf(string(d.Severity))
			p.State = health.Critical
			if sev == health.SeverityWarning {
				p.State = health.Warning
			} else {
				sev = health.SeverityCritical
			}
			p.condition(health.KindLeakDetected, sev, p.Status)
		default:
			p.condition(health.KindDetectorFault, health.SeverityWarning, p.Status)
		}
		v.union.add(p, u)
	}
	if whole {
		v.inScope(c.Alarms)
	}
}

// relative drops a relative humidity outside 0 to 100 %.
func relative(n number) number {
	if n.V < 0 || n.V > 100 {
		return number{}
	}
	return n
}
