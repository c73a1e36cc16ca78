package redfish

import (
	"cmp"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"dewline/health"
)

// createdLayouts are how services write times, the schema's way first. A zone by name tells nothing; UTC is cut off before.
var createdLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006/01/02 15:04:05",
	time.ANSIC, "01/02/2006 15:04:05",
}

// created is an entry's time, zero where the BMC's clock was not set: 1970 of an iLO that has just booted.
func created(d *entryDoc) time.Time {
	if t := timeOf(d.Created); !t.IsZero() {
		return t
	}
	return timeOf(d.EventTimestamp)
}

// timeOf reads a time of the BMC's clock, zero for none or one that was not set.
func timeOf(x text) time.Time {
	s := strings.TrimSpace(strings.TrimSuffix(strings.TrimSuffix(string(x), "UTC"), "GMT"))
	for _, layout := range createdLayouts {
		if t, err := time.Parse(layout, s); err == nil && t.Year() >= 2000 && t.Year() < 2200 {
			return t.UTC()
		}
	}
	return time.Time{}
}

func (v *visit) logEntry(l *logService, x *entry, generation int) health.LogEntry {
	key, _ := hex.DecodeString(x.Key)
	e := health.LogEntry{
		Source: l.Source, Generation: strconv.Itoa(generation), ID: x.ID, Key: key,
		Raw:     []byte(cut(string(x.raw), maxRaw)),
		Created: created(&x.doc), Observed: v.at,
		Severity: severityOf(string(cmp.Or(x.doc.MessageSeverity, x.doc.Severity))),
		Message:  string(x.doc.Message), MessageID: strings.TrimSpace(string(x.doc.MessageID)),
		// An entry of HPE's IML is marked when its condition is over.
		Cleared: strings.EqualFold(string(x.doc.EntryCode), "Deassert") || x.doc.Oem.V.Hpe.V.Repaired.V || x.doc.Oem.V.Hp.V.Repaired.V,
	}
	for _, a := range x.doc.MessageArgs {
		if len(e.Args) < 16 {
			e.Args = append(e.Args, string(a))
		}
	}
	if o := cmp.Or(x.doc.Links.V.OriginOfCondition, x.doc.Origin); o != "" {
		e.Origin = clean(string(o))
		if u := resolve(v.c.base, o); u != "" && !strings.Contains(string(o), "#") {
			e.Component = v.partAt(u)
		}
	}
	class, _, _ := strings.Cut(string(e.Component), "/")
	if m, ok := interpret(said{
		id: e.MessageID, text: cut(e.Message, health.MaxText), args: e.Args, code: string(x.doc.EntryCode), sensorType: string(cmp.Or(x.doc.SensorType, x.doc.OemSensorType)),
		origin: e.Origin, class: health.Class(class), severity: e.Severity, deassert: strings.EqualFold(string(x.doc.EntryCode), "Deassert"),
	}); ok {
		m.apply(&e)
	}
	e.Decoded.Names = namesOf(&e)
	return e
}

// partAt is the component that a resource is, "" if that is not certain.
func (v *visit) partAt(uri string) health.ComponentID {
	if uri == "" {
		return ""
	}
	if p := v.union.byURI[uri]; p != nil {
		return p.ID
	}
	if a, ok := v.mem.Same[uri]; ok {
		return a.ID
	}
	if k, ok := v.mem.Sensors[uri]; ok && !k.Covered {
		return k.ID
	}
	return v.mem.Origins[uri]
}

// sole is the one fan, supply or other part that a sensor says it is of.
func (v *visit) sole(items []link) string {
	found := ""
	for _, l := range items {
		u := resolve(v.c.base, l)
		if u == "" || strings.Contains(u, "#") || classOfOrigin(u) == "" {
			continue
		}
		if found != "" && found != u {
			return ""
		}
		found = u
	}
	return found
}

// learnOrigins remembers which parts resources are, for log entries of visits that do not read those parts.
func (v *visit) learnOrigins() {
	for uri, p := range v.union.byURI {
		if p.Class == health.ClassTemperature || p.Class == health.ClassVoltage || p.Class == health.ClassSensor || strings.Contains(uri, "#") {
			continue // mem.Sensors has sensors
		}
		if _, named := v.mem.Same[uri]; named || v.mem.Origins[uri] == p.ID || len(v.mem.Origins) >= health.MaxComponents {
			continue
		}
		v.mem.Origins[uri] = p.ID
	}
}
