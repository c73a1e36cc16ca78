package redfish

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"dewline/health"
)

type controllerDoc struct {
	Name, MemberID, Manufacturer, Model, SerialNumber, PartNumber, FirmwareVersion text
	Status                                                                         status
	Location                                                                       location
}

type storageDoc struct {
	Name               text
	Status             status
	Drives             collectionLink
	Volumes            collectionLink
	Controllers        collectionLink
	StorageControllers many[controllerDoc]
	Redundancy         many[redundancyDoc]
}

// storageGap notes that something was not read of the trees that name drives. What is not there (404) is none of it.
func (v *visit) storageGap(e *health.Error) {
	if e != nil && e.Reason != health.ReasonNotFound && v.drivesGap == nil {
		v.drivesGap = e
	}
}

func (v *visit) errorOf(uri string) *health.Error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if d := v.docs[uri]; d != nil && d.err != nil {
		return d.err
	}
	if v.broken != nil {
		return v.broken
	}
	return &health.Error{Reason: health.ReasonMalformed, Op: "GET " + uri, Err: errors.New("the collection could not be read whole")}
}

// fallback adds a part that no better tree stated in this visit, under the name that it had when one did. It reports false,
// and adds nothing, where a better tree was not read and so might name it otherwise.
func (v *visit) fallback(p *part, uri string) bool {
	a, known := v.mem.Same[uri]
	known = known && a.fits(p)
	q := v.union.byID[a.ID]
	switch {
	case known && q == nil:
		p.ID, p.Place, p.Name = a.ID, a.Place, cmp.Or(a.Name, p.Name)
	case known && (q.Serial == "" || p.Serial == ""): // a failing drive no longer tells its serial number
		v.union.byURI[uri] = q
		q.also(p)
		return true
	case v.drivesGap != nil:
		v.gap(uri, v.drivesGap, p.Place, "")
		return false
	}
	p = v.union.add(p, uri)
	v.mem.Same[uri] = alias{p.ID, p.Place, p.Name}
	return true
}

// readStorage reads a system's Storage: controllers, drives, volumes.
func (v *visit) readStorage(s *system) {
	list, ok := v.collection(s.Storage, "storage")
	v.prefetch(list)
	if ok {
		v.inScope(s.Storage)
	} else {
		v.storageGap(v.errorOf(s.Storage))
	}
	var wanted []string
	docs := map[string]storageDoc{}
	for _, u := range list {
		var d storageDoc
		if e := v.into(u, &d); e != nil {
			v.gap(u, e, u, "")
			v.gap(u, e, u+"#Drives", "")
			v.storageGap(e)
			continue
		}
		docs[u] = d
		if d.Drives.inside {
			uris, _ := v.members(u+"#Drives", true)
			wanted = append(wanted, v.allowed(uris)...)
		}
		wanted = append(wanted, v.plain(v.collectionAt(u, "Volumes", d.Volumes)), v.plain(v.collectionAt(u, "Controllers", d.Controllers)))
	}
	v.prefetch(wanted)
	for _, u := range list {
		if d, ok := docs[u]; ok {
			v.readStorageUnit(s, u, &d)
		}
	}
}

func (v *visit) readStorageUnit(s *system, uri string, d *storageDoc) {
	unit := segment(uri)
	controllers, whole := []string{}, true
	place := v.collectionAt(uri, "Controllers", d.Controllers)
	one := v.oneController(place, d)
	if one != "" {
		v.addController(s, place, one, v.controllerID(s, unit, segment(one)), &d.StorageControllers[0], d)
	} else if place != "" {
		controllers, whole = v.collection(place, "controllers")
		v.prefetch(controllers)
		if !whole {
			v.storageGap(v.errorOf(place))
		}
	}
	for _, u := range controllers {
		var c controllerDoc
		if e := v.into(u, &c); e != nil {
			if v.later(u, e) {
				continue
			}
			whole = false
			v.storageGap(e)
			v.gapMember(u, e, v.controllerID(s, unit, segment(u)))
			continue
		}
		v.addController(s, place, u, v.controllerID(s, unit, segment(u)), &c, d)
		v.compareController(s, place, u, &c, d, len(controllers))
	}
	if place != "" && whole {
		v.inScope(place)
	}
	if len(controllers) == 0 && one == "" {
		// The list in the storage itself is the older form of the same controllers.
		at := uri + "#StorageControllers"
		for i := range d.StorageControllers {
			c := &d.StorageControllers[i]
			id := cmp.Or(string(c.MemberID), strconv.Itoa(i))
			v.addController(s, at, at+"/"+strconv.Itoa(i), v.controllerID(s, unit, id), c, d)
		}
		if len(d.StorageControllers) == 0 && place == "" {
			c := controllerDoc{Name: d.Name, Status: d.Status}
			if d.Status.Health != "" || d.Status.State != "" {
				v.addController(s, at, at, v.union.identity(health.ClassStorageController, s.URI, unit), &c, d)
			}
		}
		v.inScope(at)
	}
	drives, all := v.drivesOf(uri, d)
	v.readDrives(s.URI, uri+"#Drives", unit, drives, all, false)
	if at := v.collectionAt(uri, "Volumes", d.Volumes); at != "" {
		v.readVolumes(s, at, unit)
	}
}

// drivesOf lists the drives of a storage: its array, as the schema has it, one drive alone, or a collection in place of them.
func (v *visit) drivesOf(uri string, d *storageDoc) (uris []string, whole bool) {
	place := v.collectionAt(uri, "Drives", d.Drives)
	switch {
	case place == "":
		return nil, true
	case !d.Drives.inside && !strings.EqualFold(segment(place), "Drives"):
		return []string{place}, true
	}
	if uris, whole = v.collection(place, "drives"); !whole {
		v.storageGap(v.errorOf(uri))
		v.gap(uri, v.errorOf(uri), uri+"#Drives", "")
	}
	return uris, whole
}

func (v *visit) controllerID(s *system, unit, id string) health.ComponentID {
	base := unit
	if id != unit && id != "0" && id != "1" {
		base = unit + ":" + id
	} else if id == "1" {
		base = unit + ":1"
	}
	return v.union.identity(health.ClassStorageController, s.URI, base)
}

// compareController learns whether a Storage says in itself, in the older form, what its only controller does.
func (v *visit) compareController(s *system, place, uri string, c *controllerDoc, d *storageDoc, n int) {
	if !v.full || v.brief() {
		return
	}
	v.mem.OneController = slices.DeleteFunc(v.mem.OneController, func(p string) bool { return p == place })
	if n != 1 || len(d.StorageControllers) != 1 {
		return
	}
	a, b := controllerPart(s, place, uri, "", c, d), controllerPart(s, place, uri, "", &d.StorageControllers[0], d)
	told := func(x, y string) bool { return y == "" || x == y }
	if a.Name == b.Name && a.State == b.State && a.Presence == b.Presence && a.Status == b.Status && told(a.Model, b.Model) &&
		told(a.Serial, b.Serial) && told(a.Firmware, b.Firmware) && told(a.Manufacturer, b.Manufacturer) && told(a.Location, b.Location) {
		v.mem.OneController = append(v.mem.OneController, place)
		slices.Sort(v.mem.OneController)
	}
}

// oneController is the controller that a brief visit takes from its Storage, "" for none.
func (v *visit) oneController(place string, d *storageDoc) string {
	r := v.mem.Rosters[place]
	if !v.brief() || len(d.StorageControllers) != 1 || r == nil || r.Seen < trustedAfter || len(r.Members) != 1 || !slices.Contains(v.mem.OneController, place) {
		return ""
	}
	return r.uris(place)[0]
}

func (v *visit) addController(s *system, place, uri string, id health.ComponentID, c *controllerDoc, d *storageDoc) {
	v.union.add(controllerPart(s, place, uri, id, c, d), uri)
}

func controllerPart(s *system, place, uri string, id health.ComponentID, c *controllerDoc, d *storageDoc) *part {
	p := &part{home: s.URI}
	p.Class, p.ID, p.Place, p.Tier = health.ClassStorageController, id, place, health.TierHealth
	p.Name = string(cmp.Or(c.Name, c.Model, d.Name, text(segment(uri))))
	p.Manufacturer, p.Model, p.Firmware = string(c.Manufacturer), string(c.Model), string(c.FirmwareVersion)
	p.Serial, p.PartNumber, p.Location = serialNumber(string(c.SerialNumber)), string(c.PartNumber), c.Location.label
	p.judge(c.Status, true)
	if c.Status.Health == "" && c.Status.Rollup == "" && p.Presence == health.Present {
		p.judge(d.Status, true) // some controllers state nothing, their storage does
	}
	return p
}

type volumeDoc struct {
	Name, RAIDType, VolumeType text
	Status                     status
	CapacityBytes              number
	Operations                 many[struct{ OperationName text }]
}

func (v *visit) readVolumes(s *system, place, unit string) {
	uris, whole := v.collection(place, "volumes")
	v.prefetch(uris)
	if !whole {
		v.storageGap(v.errorOf(place))
	}
	for _, u := range uris {
		base := segment(u)
		if !strings.Contains(base, unit) {
			base = unit + ":" + base
		}
		id := v.union.identity(health.ClassVolume, s.URI, base)
		var d volumeDoc
		if e := v.into(u, &d); e != nil {
			if v.later(u, e) {
				continue
			}
			whole = false
			v.storageGap(e)
			v.gapMember(u, e, id)
			continue
		}
		p := &part{home: s.URI}
		p.Class, p.ID, p.Place, p.Tier = health.ClassVolume, id, place, health.TierHealth
		p.Name, p.Model = string(cmp.Or(d.Name, text(segment(u)))), string(d.RAIDType)
		if d.CapacityBytes.V > 0 && d.CapacityBytes.V < 1e18 {
			p.CapacityBytes = int64(d.CapacityBytes.V)
		}
		p.judge(d.Status, false)
		for _, o := range d.Operations {
			if strings.Contains(strings.ToLower(string(o.OperationName)), "rebuild") {
				p.condition(health.KindRebuild, health.SeverityInfo, "Operation="+string(o.OperationName))
			}
		}
		fine(p, health.KindRebuild, d.Status.Health != "", "no rebuild among Operations")
		v.union.add(p, u)
	}
	if whole {
		v.inScope(place)
	}
}

type simpleDoc struct {
	Status  status
	Devices many[struct {
		Name, Manufacturer, Model text
		Status                    status
		CapacityBytes             number
	}]
}

// readSimpleStorage reads SimpleStorage where no better tree states the same devices, which have no identity here: a second
// count.
func (v *visit) readSimpleStorage(s *system) {
	told := s.DrivesBy == byStorage
	if told && !v.learning {
		return
	}
	if s.DrivesBy == tellerUnknown {
		v.gap(s.SimpleStorage, v.drivesGap, s.SimpleStorage, "")
		return
	}
	uris, ok := v.collection(s.SimpleStorage, "simple")
	if told {
		for _, u := range uris { // devices that were named by it before are so no longer
			v.inScope(u + "#Devices")
		}
		return
	}
	v.prefetch(uris)
	if ok {
		v.inScope(s.SimpleStorage)
	}
	for _, u := range uris {
		var d simpleDoc
		place := u + "#Devices"
		if e := v.into(u, &d); e != nil {
			v.gap(u, e, place, "")
			continue
		}
		names, alts := make([]string, len(d.Devices)), make([]string, len(d.Devices))
		for i, x := range d.Devices {
			names[i], alts[i] = string(x.Name), strconv.Itoa(i)
		}
		bases := v.distinct(place, names, alts)
		for i, x := range d.Devices {
			p := &part{home: s.URI}
			p.Class, p.Place, p.Tier = health.ClassDrive, place, health.TierHealth
			p.ID = v.union.identity(health.ClassDrive, s.URI, segment(u)+":"+bases[i])
			p.Name, p.Manufacturer, p.Model = cmp.Or(names[i], bases[i]), string(x.Manufacturer), string(x.Model)
			if x.CapacityBytes.V > 0 && x.CapacityBytes.V < 1e18 {
				p.CapacityBytes = int64(x.CapacityBytes.V)
			}
			p.judge(x.Status, false)
			v.union.add(p, place+"/"+bases[i])
		}
		v.inScope(place)
	}
}
