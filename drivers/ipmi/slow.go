package ipmi

import (
	"math"
	"slices"
	"time"

	"dewline/health"
)

// slowSensors is there while all sensors of a BMC in one visit would make its readings late: each is a request, and some BMCs
// have two hundred of them and take a second for one. What cannot wait is then read every time, the others in turn.
type slowSensors struct {
	Seconds float64   `json:"seconds"` // of one sensor, roughly
	Since   time.Time `json:"since"`
	Members int       `json:"members"`        // that are read in turn
	Round   time.Time `json:"round,omitzero"` // when the last whole round of them began
}

// Parts of the patience: what others may use of it in a visit, and what all may take to be read as usual again.
const (
	forOthers = 0.5
	fastAgain = 0.2
	forLimits = 0.75 // thresholds, once a day
)

// cannotWait are the classes that every readings visit reads, however slow the BMC is.
var cannotWait = []health.Class{
	health.ClassFan, health.ClassPSU, health.ClassPowerUnit, health.ClassTemperature, health.ClassPower, health.ClassHumidity, health.ClassLeakDetector,
	health.ClassFlow, health.ClassPump,
}

// turn is the sensors in the order in which this visit reads them, and how many of them come every time. The others begin
// where the last visit left off.
func (v *visit) turn() (order []*part, always int) {
	var others []*part
	for _, p := range v.mem.SDR.sensors {
		switch {
		case p.eventOnly:
		case v.mem.Slow == nil || slices.Contains(cannotWait, p.class):
			order = append(order, p)
		default:
			others = append(others, p)
		}
	}
	always = len(order)
	if n := len(others); n > 0 {
		at := v.from % n
		others = slices.Concat(others[at:], others[:at])
	}
	return append(order, others...), always
}

// patience is the visit's, or what its deadline leaves of it; 0 if it has none.
func (v *visit) patience() time.Duration {
	if v.req.Patience > 0 && v.most > 0 {
		return min(v.req.Patience, v.most)
	}
	return v.req.Patience
}

// spent tells whether a part of the patience is gone.
func (v *visit) spent(part float64) bool {
	p := v.patience()
	return p > 0 && v.clock().Sub(v.now) > time.Duration(part*float64(p))
}

// settle learns from a visit that read to its end, or to its deadline. n sensors were read, others of them in turn, since began.
func (v *visit) settle(began time.Time, n, others, always int) {
	if v.patience() <= 0 || n == 0 {
		return
	}
	each := v.clock().Sub(began).Seconds() / float64(n)
	waiting := map[health.ComponentID]bool{}
	for _, p := range v.mem.SDR.sensors {
		if !p.eventOnly && !slices.Contains(cannotWait, p.class) {
			waiting[p.id] = true
		}
	}
	rest := len(waiting)
	switch s := v.mem.Slow; {
	case s == nil:
		if !v.spent(forOthers) || rest == 0 {
			return
		}
		at := v.now.UTC().Truncate(time.Second)
		v.mem.Slow = &slowSensors{Seconds: roughly(each), Since: at, Members: rest, Round: at}
		for i := range v.snap.Components { // else the next visit, which does not read all of them, had left some unread
			if c := &v.snap.Components[i]; waiting[c.ID] {
				c.Tier, c.TierMoved = health.TierInventory, true
			}
		}
		v.log.Warn("a slow BMC: sensors that can wait are read in turn from now on, so that readings stay on time", "seconds_each", roughly(each), "sensors", rest)
	case each*float64(always+rest) <= fastAgain*v.patience().Seconds():
		v.log.Info("the BMC is fast again: all of its sensors are read as usual")
		v.mem.Slow, v.from = nil, 0
	default:
		if was := v.from; rest > 0 && others > 0 {
			v.from = (was + others) % rest
			if v.from <= was { // the round is through
				s.Round = v.now.UTC().Truncate(time.Second)
			}
		}
		s.Members = rest
		if now := roughly(each); now > s.Seconds*1.25 || now < s.Seconds*0.75 {
			s.Seconds = now // small changes are not worth writing the memory again
		}
	}
}

// roughly is to half a second, and never 0.
func roughly(seconds float64) float64 { return max(math.Ceil(seconds*2)/2, 0.5) }

// waits is a part whose turn is in a later visit.
func (v *visit) waits(p *part) health.Component {
	c := p.component()
	c.Tier, c.StateNotRead = health.TierInventory, true
	if v.req.Tiers.Has(health.TierInventory) {
		v.gap(health.Gap{Part: "sensor " + p.name, Component: p.id, Reason: health.ReasonBudget, Error: "a slow BMC: read in turn, over several visits"})
	}
	return c
}
