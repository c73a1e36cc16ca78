package redfish

import (
	"cmp"
	"strconv"
	"strings"

	"dewline/health"
	"dewline/internal/quirk"
)

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

type driveDoc struct {
	ID, Name, Manufacturer, Model, SerialNumber, PartNumber, Revision, FirmwareVersion text
	StatusIndicator, MediaType, Protocol                                               text
	Status                                                                             status
	CapacityBytes, PredictedMediaLifeLeftPercent                                       number
	FailurePredicted                                                                   flag
	Location, PhysicalLocation                                                         location
	Metrics                                                                            link
	// SmartStorage of HPE.
	CapacityMiB, CurrentTemperatureCelsius, SSDEnduranceUtilizationPercentage, PowerOnHours number
	Oem                                                                                     object[struct {
		Supermicro object[struct {
			Temperature, PercentageDriveLifeUsed number
			DriveFunctional                      flag
		}]
		Hpe object[struct {
			CurrentTemperatureCelsius, PowerOnHours number
		}]
		Lenovo object[struct{ Temperature number }]
		Dell   object[struct {
			DellPhysicalDisk object[dellDisk]
			DellPCIeSSD      object[dellDisk]
		}]
	}]
}

type dellDisk struct {
	AvailableSparePercent  number
	PredictiveFailureState text
	Certified              text
}

// driveSeen finds a drive that was stated before, by URI or by serial number: the same drive stands under its storage and
// its chassis, and again in HPE's SmartStorage.
func (v *visit) driveSeen(uri, serial, model string) *part {
	if p := v.union.byURI[uri]; p != nil {
		return p
	}
	if serial == "" {
		return nil
	}
	for _, p := range v.union.list {
		if p.Class == health.ClassDrive && p.Serial == serial && (model == "" || p.Model == "" || strings.Contains(norm(model), norm(p.Model)) || strings.Contains(norm(p.Model), norm(model))) {
			return p
		}
	}
	return nil
}

// readDrives reads Drive resources listed at place, all of them if whole. again is set for a tree that tells of the drives of a
// better one again.
func (v *visit) readDrives(home, place, unit string, uris []string, whole, again bool) {
	v.prefetch(uris)
	defer func() { v.readDriveMetrics(uris) }()
	for _, u := range uris {
		var d driveDoc
		base := segment(u)
		if _, digits := numericID(base); unit != "" && digits {
			base = unit + ":" + base // "0" of every controller (idrac_exporter #110)
		}
		if v.union.byURI[u] != nil {
			continue // the same drive under a second storage
		}
		if e := v.into(u, &d); e != nil {
			if v.later(u, e) {
				continue
			}
			whole = false
			v.storageGap(e)
			v.gapMember(u, e, v.union.identity(health.ClassDrive, home, base))
			continue
		}
		if p := v.driveSeen(u, serialNumber(string(d.SerialNumber)), string(d.Model)); p != nil {
			v.union.byURI[u] = p
			if again {
				v.mem.Same[u] = alias{p.ID, p.Place, p.Name}
			}
			v.driveValues(p, &d)
			continue
		}
		p := &part{home: home}
		p.Class, p.Place, p.Tier = health.ClassDrive, place, health.TierHealth
		p.ID = v.union.identity(health.ClassDrive, home, base)
		p.Name = string(cmp.Or(d.Name, d.ID, text(segment(u))))
		p.Location = cmp.Or(d.PhysicalLocation.label, d.Location.label)
		p.Manufacturer, p.Model = string(d.Manufacturer), string(d.Model)
		p.Serial, p.PartNumber = serialNumber(string(d.SerialNumber)), string(d.PartNumber)
		p.Firmware = string(cmp.Or(d.FirmwareVersion, d.Revision))
		if d.CapacityBytes.V > 0 && d.CapacityBytes.V < 1e18 {
			p.CapacityBytes = int64(d.CapacityBytes.V)
		}
		p.judge(d.Status, false)
		v.driveValues(p, &d)
		if !again {
			v.union.add(p, u)
		} else if !v.fallback(p, u) {
			whole = false
		}
	}
	if whole {
		v.inScope(place)
	}
}

// driveValues sets wear and conditions of a drive.
func (v *visit) driveValues(p *part, d *driveDoc) {
	if d.FailurePredicted.V {
		p.condition(health.KindPredictedFailure, health.SeverityWarning, "FailurePredicted=true")
	}
	switch strings.ToLower(string(d.StatusIndicator)) {
	case "fail":
		p.condition(health.KindFailed, health.SeverityCritical, "StatusIndicator="+string(d.StatusIndicator))
	case "predictivefailureanalysis":
		p.condition(health.KindPredictedFailure, health.SeverityWarning, "StatusIndicator="+string(d.StatusIndicator))
	case "rebuild":
		p.condition(health.KindRebuild, health.SeverityInfo, "StatusIndicator="+string(d.StatusIndicator))
	}
	fine(p, health.KindPredictedFailure, d.FailurePredicted.OK || d.StatusIndicator != "", "FailurePredicted="+strconv.FormatBool(d.FailurePredicted.V))
	if s := string(d.StatusIndicator); s != "" {
		fine(p, health.KindFailed, true, "StatusIndicator="+s)
		fine(p, health.KindRebuild, true, "StatusIndicator="+s)
	}
	if f := d.Oem.V.Supermicro.V.DriveFunctional; f.OK && !f.V && p.Presence == health.Present {
		p.condition(health.KindFailed, health.SeverityCritical, "DriveFunctional=false")
	}
	dd := d.Oem.V.Dell.V.DellPhysicalDisk.V
	if ssd := d.Oem.V.Dell.V.DellPCIeSSD.V; ssd != (dellDisk{}) {
		dd = ssd
	}
	if strings.EqualFold(string(dd.PredictiveFailureState), "SmartAlertPresent") {
		p.condition(health.KindPredictedFailure, health.SeverityWarning, "PredictiveFailureState="+string(dd.PredictiveFailureState))
	}
	life := d.PredictedMediaLifeLeftPercent
	if life.OK && life.V == 0 && strings.EqualFold(string(dd.Certified), "no") && v.c.quirk(quirk.UncertifiedWear) {
		life = number{}
	}
	if used := d.Oem.V.Supermicro.V.PercentageDriveLifeUsed; !life.OK && used.OK && used.V >= 0 && used.V <= 255 {
		life = number{V: max(0, 100-used.V), OK: true}
	}
	if used := d.SSDEnduranceUtilizationPercentage; !life.OK && used.OK && used.V >= 0 && used.V <= 255 {
		life = number{V: max(0, 100-used.V), OK: true}
	}
	if life.V >= 0 && life.V <= 100 {
		p.set(health.LifeLeft, health.Percent, life, nil)
	}
	if spare := dd.AvailableSparePercent; spare.V >= 0 && spare.V <= 100 {
		p.set(health.SpareLeft, health.Percent, spare, nil)
	}
	for _, t := range []number{d.Oem.V.Supermicro.V.Temperature, d.Oem.V.Hpe.V.CurrentTemperatureCelsius, d.Oem.V.Lenovo.V.Temperature, d.CurrentTemperatureCelsius} {
		if t.OK && t.V > 0 && t.V < 200 {
			p.set(health.Temperature, health.Celsius, t, nil)
		}
	}
	hours := d.Oem.V.Hpe.V.PowerOnHours
	if !hours.OK {
		hours = d.PowerOnHours
	}
	if hours.V >= 65536 && v.c.quirk(quirk.HoursOverflow) {
		hours = number{}
	}
	if hours.V >= 0 {
		p.set(health.PowerOnHours, health.Hour, hours, nil)
	}
}

type driveMetricsDoc struct {
	PowerOnHours                                                  number
	UncorrectableIOReadErrorCount, UncorrectableIOWriteErrorCount number
	BadBlockCount                                                 number
	NVMe                                                          object[struct {
		PercentageUsed, AvailableSparePercent, MediaAndDataIntegrityErrors number
		PowerOnHours, CompositeTemperatureCelsius                          number
	}] `json:"NVMeSMART"`
}

// readDriveMetrics reads wear and errors of drives that link them (Drive v1.14): one request each, so with the inventory.
func (v *visit) readDriveMetrics(drives []string) {
	if !v.req.Tiers.Has(health.TierInventory) {
		return
	}
	at := map[string]string{}
	var uris []string
	for _, u := range drives {
		var d driveDoc
		if v.into(u, &d) == nil {
			if m := v.link(d.Metrics); m != "" {
				at[u] = m
				uris = append(uris, m)
			}
		}
	}
	v.prefetch(uris)
	for _, u := range drives {
		p, uri := v.union.byURI[u], at[u]
		if p == nil || uri == "" {
			continue
		}
		var d driveMetricsDoc
		if e := v.into(uri, &d); e != nil {
			if e.Reason != health.ReasonNotFound {
				v.gap(uri, e, "", "")
			}
			continue
		}
		d.into(p)
	}
}

// into takes the numbers alone: what is read once a day must not assert what the drive itself, read every quarter of an
// hour, would clear.
func (d *driveMetricsDoc) into(p *part) {
	n := d.NVMe.V
	if used := n.PercentageUsed; used.OK && used.V >= 0 && used.V <= 255 {
		p.set(health.LifeLeft, health.Percent, number{V: max(0, 100-used.V), OK: true}, nil)
	}
	if n.AvailableSparePercent.V >= 0 && n.AvailableSparePercent.V <= 100 {
		p.set(health.SpareLeft, health.Percent, n.AvailableSparePercent, nil)
	}
	if n.MediaAndDataIntegrityErrors.V >= 0 {
		p.set(health.MediaErrors, health.Number, n.MediaAndDataIntegrityErrors, nil)
	}
	if r, w := d.UncorrectableIOReadErrorCount, d.UncorrectableIOWriteErrorCount; (r.OK || w.OK) && r.V >= 0 && w.V >= 0 {
		p.set(health.UncorrectableErr, health.Number, number{V: r.V + w.V, OK: true}, nil)
	}
	for _, hours := range []number{d.PowerOnHours, n.PowerOnHours} {
		if hours.V >= 0 {
			p.set(health.PowerOnHours, health.Hour, hours, nil)
		}
	}
	if t := n.CompositeTemperatureCelsius; t.V > 0 && t.V < 200 {
		p.set(health.Temperature, health.Celsius, t, nil)
	}
}
