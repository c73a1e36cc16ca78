package capacity

import (
	"cmp"
	"slices"
	"time"

	"dewline/health"
)

// lifeLimit is at how much life left a drive is to be replaced, in percent.
const lifeLimit = 10.0

// Drive and its wear.
type Drive struct {
	Target    health.TargetID    `json:"target"`
	Component health.ComponentID `json:"component"`
	Name      string             `json:"name,omitempty"`
	Model     string             `json:"model,omitempty"`
	Serial    string             `json:"serial,omitempty"`
	Bytes     int64              `json:"capacity_bytes,omitempty"`
	// Nil: not told.
	LifeLeft    *float64 `json:"life_left_percent,omitempty"` // the last
	SpareLeft   *float64 `json:"spare_left_percent,omitempty"`
	MediaErrors *float64 `json:"media_errors,omitempty"`
	NewErrors   *float64 `json:"media_errors_since,omitempty"` // since the first day of the window; from 0 on where the counter fell
	PowerOn     *float64 `json:"power_on_hours,omitempty"`
	Wear        *Trend   `json:"wear_percent,omitempty"` // its slope is negative
	Reach       *Reach   `json:"reaches_limit,omitempty"`
	Failed      bool     `json:"failed"`            // an open fault says so
	Predicted   bool     `json:"predicted_failure"` // an open fault says so
	Replace     string   `json:"replace,omitempty"` // failed, predicted, worn, wears_out: before a year is over
}

// DriveModel is how drives of a model and age failed.
type DriveModel struct {
	Model     string `json:"model"` // "": not told
	Age       string `json:"age"`   // by hours of power: under_1y, 1_3y, 3_5y, over_5y, unknown; gone: those that failed and are no longer there
	Drives    int    `json:"drives"`
	Failed    Rate   `json:"failures"`
	Predicted Rate   `json:"predicted_failures"`
}

// ClassSize is what is installed of a class, as BMCs report it.
type ClassSize struct {
	Class   health.Class `json:"class"`
	Parts   int          `json:"parts"`
	Bytes   int64        `json:"capacity_bytes,omitempty"` // of those that tell it; 0: none does
	Unsized int          `json:"parts_without_capacity"`
}

const year = 365.25 * 24

func ageOf(hours *float64) string {
	switch {
	case hours == nil:
		return "unknown"
	case *hours < year:
		return "under_1y"
	case *hours < 3*year:
		return "1_3y"
	case *hours < 5*year:
		return "3_5y"
	}
	return "over_5y"
}

var ages = []string{"under_1y", "1_3y", "3_5y", "over_5y", "unknown", gone}

// gone is the age of drives that failed and were taken out: neither their model nor for how long they were watched is known.
const gone = "gone"

// drives are those that are known of, or that told something.
func (f *fleet) drives() ([]Drive, []DriveModel) {
	out := []Drive{}
	type key struct{ model, age string }
	models := map[key]*DriveModel{}
	years := map[key]float64{}
	row := func(k key) *DriveModel {
		if models[k] == nil {
			models[k] = &DriveModel{Model: k.model, Age: k.age}
		}
		return models[k]
	}
	for _, s := range f.servers {
		of := map[health.ComponentID]*DriveModel{}
		for _, id := range s.partsOf(health.ClassDrive) {
			d := f.drive(s, id)
			out = append(out, d)
			k := key{d.Model, ageOf(d.PowerOn)}
			of[id] = row(k)
			of[id].Drives++
			years[k] += s.watchedYears()
		}
		for _, x := range f.faultsOf(s.target.ID) {
			if x.Class != health.ClassDrive || !f.own(x) || x.Kind != health.KindFailed && x.Kind != health.KindPredictedFailure {
				continue
			}
			if of[x.Component] == nil {
				of[x.Component] = row(key{"", gone})
				of[x.Component].Drives++
			}
			if x.Kind == health.KindFailed {
				of[x.Component].Failed.Count++
			} else {
				of[x.Component].Predicted.Count++
			}
		}
	}
	list := []DriveModel{}
	for k, m := range models {
		m.Failed, m.Predicted = rateOf(m.Failed.Count, years[k]), rateOf(m.Predicted.Count, years[k])
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b DriveModel) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(slices.Index(ages, a.Age), slices.Index(ages, b.Age)))
	})
	return out, list
}

// watchedYears is the time in which anything of the server was read.
func (s *server) watchedYears() float64 { return hours(s.watched) / year }

// partsOf are the parts of a class, in order of ID: those that are installed; where the source does not tell, those that were ever read.
func (s *server) partsOf(c health.Class) []health.ComponentID {
	seen := map[health.ComponentID]bool{}
	for _, list := range [][]installed{s.parts, s.read} {
		for i := range list {
			if x := &list[i]; x.Class == c {
				seen[x.ID] = true
			}
		}
	}
	ids := make([]health.ComponentID, 0, len(seen))
	for id := range seen {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (f *fleet) drive(s *server, id health.ComponentID) Drive {
	p := s.part(id)
	d := Drive{Target: s.target.ID, Component: id, Name: p.Name, Model: p.Model, Serial: p.Serial, Bytes: p.CapacityBytes}
	for _, t := range s.daily {
		if t.Component != id || t.n == 0 {
			continue
		}
		switch t.Quantity {
		case health.LifeLeft:
			d.LifeLeft = new(t.last.v)
			d.Wear = wearOf(t.lasts.values(), f.q.Until)
			r := reachOf(d.Wear, lifeLimit, true, f.q.Until, f.q.Until.Sub(f.first))
			d.Reach = &r
		case health.SpareLeft:
			d.SpareLeft = new(t.last.v)
		case health.MediaErrors:
			d.MediaErrors, d.NewErrors = new(t.last.v), new(t.gained)
		case health.PowerOnHours:
			d.PowerOn = new(t.last.v)
		}
	}
	for _, x := range f.faultsOf(s.target.ID) {
		if x.Component == id && !x.Closed() {
			d.Failed = d.Failed || x.Kind == health.KindFailed
			d.Predicted = d.Predicted || x.Kind == health.KindPredictedFailure
		}
	}
	switch {
	case d.Failed:
		d.Replace = "failed"
	case d.Predicted:
		d.Replace = "predicted"
	case d.LifeLeft != nil && *d.LifeLeft <= lifeLimit:
		d.Replace = "worn"
	case d.Reach != nil && d.Reach.Result == "date" && d.Reach.At.Before(f.q.Until.Add(365*24*time.Hour)):
		d.Replace = "wears_out"
	}
	return d
}

// wearOf is the trend of life left. It only falls: where it rose, the drive was exchanged or reset, and its past says nothing of it. BMCs
// tell it in whole percent, so less than two steps say nothing either.
func wearOf(days []dayValue, end time.Time) *Trend {
	t := shortTrend(days)
	if t.Why != "" {
		return t
	}
	for i := 1; i < len(days); i++ {
		if days[i].v > days[i-1].v+0.5 {
			t.Why = whyRose
			return t
		}
	}
	if days[0].v-days[len(days)-1].v < 2 {
		t.Why = whySteps
		return t
	}
	return trendOf(days, end)
}

// sizes adds up what is installed.
func (f *fleet) sizes() []ClassSize {
	out := []ClassSize{}
	for _, c := range []health.Class{health.ClassDrive, health.ClassVolume, health.ClassMemory} {
		x := ClassSize{Class: c}
		for _, s := range f.servers {
			for _, id := range s.partsOf(c) {
				x.Parts++
				if n := s.part(id).CapacityBytes; n > 0 {
					x.Bytes += n
				} else {
					x.Unsized++
				}
			}
		}
		if x.Parts > 0 {
			out = append(out, x)
		}
	}
	return out
}
