package truth

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/report/verification"
)

// epoch is when every world begins.
var epoch = time.Date(2026, time.October, 1, 0, 0, 0, 0, time.UTC)

// damage is what was done to a machine, for the count of what no BMC showed.
type damage struct {
	what  string
	from  time.Time
	drift bool // it shows in readings alone
}

// logTruth is what happened to a machine's log.
type logTruth struct {
	spoilt []time.Time // cleared, wiped, full
	off    []span
}

// base is a recorded baseline that several incidents share.
type base struct {
	seed    uint64
	rhythm  rhythm
	length  time.Duration // until the incident may begin
	servers []*server
	busy    bool // loaded, so that an idle host draws less than half
	expect  bool
	dir     string
	note    string
}

// incident is one drawn incident.
type incident struct {
	n        int
	base     *base
	servers  []*server
	rhythm   rhythm
	found    time.Time // when people noticed
	off, on  time.Time // zero: never
	made     time.Time // when the report is made
	soak     time.Duration
	attest   []verification.Attestation
	explains bool
}

func (i *incident) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "incident %d of base %q every %s, found %s, off %s, on %s, soak %s, report %s", i.n, i.base.note, i.rhythm.every, at(i.found), at(i.off), at(i.on), i.soak, at(i.made))
	for _, s := range i.servers {
		fmt.Fprintf(&b, "\n  %s (%s): %s", s.target.ID, s.make.name(), strings.Join(s.notes, "; "))
	}
	return b.String()
}

func at(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return fmt.Sprintf("+%.2fh", t.Sub(epoch).Hours())
}

const (
	baseline    = 50 * time.Hour // asked for
	baseLength  = 78 * time.Hour
	minBaseline = 48 // hours, as the report says
	logCapacity = 40 // entries; a full log keeps no more
)

// drawBase draws a baseline. Kind 0 is a plain one.
func drawBase(rng *rand.Rand, n int, long bool) *base {
	b := &base{seed: rng.Uint64(), length: baseLength, busy: rng.IntN(3) > 0, expect: rng.IntN(2) == 0}
	every := []time.Duration{20 * time.Minute, 30 * time.Minute, time.Hour, time.Hour, time.Hour}[n%5]
	if !long && n%5 < 2 { // visits are what a run costs
		every = []time.Duration{30 * time.Minute, time.Hour}[n%5]
	}
	b.rhythm = rhythm{every, 4 * time.Hour}
	makes := []make_{legacyPercent, whitebox, legacyPercent, modern, board, legacyPlain, mixed, blade}
	// Two servers where a detector of one stands for both.
	kinds := []make_{makes[rng.IntN(len(makes))]}
	switch {
	case !long:
		kinds = []make_{[]make_{whitebox, legacyPercent, legacyPercent, modern, legacyPlain}[n%5]}
		if n%5 == 4 {
			kinds = append(kinds, board)
		}
	case rng.IntN(4) == 0:
		kinds = append(kinds, makes[rng.IntN(len(makes))])
	}
	plain := n%5 != 3
	for i, k := range kinds {
		s := &server{make: k, seed: rng.Uint64(), target: health.Target{
			ID: health.TargetID(fmt.Sprintf("s%d", i+1)), Driver: k.driver, Address: k.driver + "://sim", Site: "sim", Rack: "A1", Position: i + 1, Origin: health.OriginSim,
		}}
		if b.expect {
			fans, psus, drives := k.profile.Fans, k.profile.PSUs, k.profile.Drives
			s.target.Expect = health.Expect{Fans: &fans, PSUs: &psus, Drives: &drives}
		}
		s.do(epoch.Add(-time.Hour), func(m *bmcsim.Machine) { m.SetLogCapacity(logCapacity, false) })
		if b.busy {
			s.do(epoch.Add(-time.Hour), func(m *bmcsim.Machine) { m.SetLoad(0.7) })
		}
		b.servers = append(b.servers, s)
	}
	s := b.servers[0]
	during := func(atLeast time.Duration) time.Time {
		return epoch.Add(8*time.Hour + time.Duration(rng.Int64N(int64(40*time.Hour-atLeast)))).Truncate(time.Minute)
	}
	b.note = "plain"
	if !plain {
		switch kind := rng.IntN(7); kind {
		case 0:
			b.note, b.length = "short", 40*time.Hour
		case 1:
			t := during(3 * time.Hour)
			b.note = "BMC silent"
			s.silent = append(s.silent, span{t, t.Add(3 * time.Hour)})
		case 2:
			t := during(0)
			b.note = "log cleared"
			s.do(t, (*bmcsim.Machine).ClearLog)
			s.log.spoilt = append(s.log.spoilt, t)
		case 3:
			t := during(3 * time.Hour)
			b.note = "frozen"
			s.freeze(span{t, t.Add(3 * time.Hour)})
		case 4:
			t := during(5 * time.Hour)
			b.note = "host off"
			s.do(t, (*bmcsim.Machine).HostOff)
			s.do(t.Add(5*time.Hour), (*bmcsim.Machine).HostOn)
		case 5:
			b.note = "a fan that failed before"
			s.do(epoch.Add(5*time.Hour), func(m *bmcsim.Machine) { m.FailFan(0) })
		case 6:
			b.note = "detector dead from the start"
			s.do(epoch.Add(-time.Hour), func(m *bmcsim.Machine) { m.BreakLeak(0) })
		}
	}
	b.note = s.make.name() + ", " + b.note
	return b
}

// draw draws an incident that goes on from a recorded baseline.
func draw(rng *rand.Rand, n int, b *base) *incident {
	i := &incident{n: n, base: b, rhythm: b.rhythm}
	minutes := func(lo, hi int) time.Duration { return time.Duration(lo+rng.IntN(hi-lo+1)) * time.Minute }
	start := epoch.Add(b.length)
	i.found = start.Add(minutes(30, 90))
	soakFrom := i.found
	if rng.IntN(5) > 0 {
		i.off = i.found.Add(minutes(15, 60))
		i.on = i.off.Add(minutes(60, 240))
		soakFrom = i.on
	}
	i.soak = 12 * time.Hour
	if rng.IntN(5) == 0 { // long enough for sensors to be compared
		i.soak = 24 * time.Hour
	}
	soakTo := soakFrom.Add(i.soak + minutes(90, 200))
	i.made = soakTo.Add(minutes(0, 59))
	for _, s := range b.servers {
		c := *s
		c.acts, c.silent, c.frozen = append([]act{}, s.acts...), append([]span{}, s.silent...), append([]span{}, s.frozen...)
		c.log.spoilt = append([]time.Time{}, s.log.spoilt...)
		c.ledger = append([]tick{}, s.ledger...)
		c.notes = nil
		i.servers = append(i.servers, &c)
	}
	d := drawing{rng: rng, i: i, start: start, soakFrom: soakFrom, soakTo: soakTo}
	for _, what := range []string{"drying", "inspection"} {
		i.attest = append(i.attest, verification.Attestation{What: what, By: "facilities", At: soakFrom.Add(-10 * time.Minute)})
	}
	for k, s := range i.servers {
		d.s = s
		if !i.off.IsZero() {
			s.do(i.off, (*bmcsim.Machine).HostOff)
			s.do(i.on, (*bmcsim.Machine).HostOn)
		}
		if rng.IntN(4) > 0 {
			d.wet()
		}
		count := []int{0, 0, 0, 0, 0, 1, 1, 1, 2, 3}[rng.IntN(10)]
		if k > 0 {
			count = min(count, 1)
		}
		for range count {
			switch rng.IntN(5) {
			case 0, 1:
				d.damage()
			case 2, 3:
				d.trouble()
			default:
				d.harmless()
			}
		}
	}
	return i
}

// drawing draws what happens to one server.
type drawing struct {
	rng              *rand.Rand
	i                *incident
	s                *server
	start            time.Time
	soakFrom, soakTo time.Time
}

func (d *drawing) note(format string, args ...any) {
	d.s.notes = append(d.s.notes, fmt.Sprintf(format, args...))
}

func (d *drawing) between(from, to time.Time) time.Time {
	return from.Add(time.Duration(d.rng.Int64N(max(1, int64(to.Sub(from)))))).Truncate(time.Second)
}

func (d *drawing) span(long time.Duration) span {
	t := d.between(d.soakFrom.Add(time.Hour), d.soakTo.Add(-long))
	return span{t, t.Add(long)}
}

// wet is water at the detector: before people notice, and until it is dried.
func (d *drawing) wet() {
	t := d.between(d.start.Add(5*time.Minute), d.i.found.Add(10*time.Minute))
	dry := d.between(d.i.found.Add(20*time.Minute), d.i.found.Add(100*time.Minute))
	if !d.i.on.IsZero() && dry.After(d.i.on) {
		dry = d.i.on.Add(-time.Minute)
	}
	d.s.do(t, func(m *bmcsim.Machine) { m.WetLeak(0) })
	switch d.rng.IntN(12) {
	case 0:
		d.s.do(dry, func(m *bmcsim.Machine) { m.BreakLeak(0) })
		d.note("wet %s, then broken %s", at(t), at(dry))
	case 1:
		d.note("wet %s, and stays so", at(t))
	default:
		d.s.do(dry, func(m *bmcsim.Machine) { m.DryLeak(0) })
		d.note("wet %s to %s", at(t), at(dry))
	}
}

// damage breaks something: before the evidence, in the outage, early or late in the soak, or just before the report; for good or for a while;
// with or without a word in the log.
func (d *drawing) damage() {
	var t time.Time
	when := d.rng.IntN(10)
	switch {
	case when == 0:
		t = d.between(d.start.Add(-5*time.Hour), d.start)
		if t.Before(epoch.Add(d.i.base.length)) { // the baseline is recorded already
			t = d.between(d.start, d.start.Add(20*time.Minute))
		}
	case when <= 3:
		t = d.between(d.i.found, d.soakFrom.Add(30*time.Minute))
	case when <= 5:
		t = d.between(d.soakFrom, d.soakFrom.Add(3*time.Hour))
	case when <= 8:
		t = d.between(d.soakTo.Add(-6*time.Hour), d.soakTo)
	default:
		t = d.between(d.soakTo.Add(-30*time.Minute), d.i.made)
	}
	var end time.Time
	if d.rng.IntN(5) < 2 {
		end = t.Add(time.Duration(3+d.rng.IntN(300)) * time.Minute)
	}
	quiet := d.rng.IntN(3) == 0
	type pair struct {
		name     string
		do, undo func(*bmcsim.Machine)
	}
	all := []pair{
		{"fan 1 fails", func(m *bmcsim.Machine) { m.FailFan(1) }, func(m *bmcsim.Machine) { m.RepairFan(1) }},
		{"fan 2 is removed", func(m *bmcsim.Machine) { m.RemoveFan(2) }, func(m *bmcsim.Machine) { m.InsertFan(2) }},
		{"PSU 1 fails", func(m *bmcsim.Machine) { m.FailPSU(1) }, func(m *bmcsim.Machine) { m.RepairPSU(1) }},
		{"PSU 0 loses its input", func(m *bmcsim.Machine) { m.LosePSUInput(0) }, func(m *bmcsim.Machine) { m.RestorePSUInput(0) }},
		{"PSU 1 is removed", func(m *bmcsim.Machine) { m.RemovePSU(1) }, func(m *bmcsim.Machine) { m.InsertPSU(1) }},
		{"drive 0 fails", func(m *bmcsim.Machine) { m.FailDrive(0) }, func(m *bmcsim.Machine) { m.RepairDrive(0) }},
		{"drive 0 predicts its failure", func(m *bmcsim.Machine) { m.PredictDrive(0) }, func(m *bmcsim.Machine) { m.UnpredictDrive(0) }},
		{"drive 0 is removed", func(m *bmcsim.Machine) { m.RemoveDrive(0) }, func(m *bmcsim.Machine) { m.InsertDrive(0) }},
		{"memory 0 fails", func(m *bmcsim.Machine) { m.FailDIMM(0) }, func(m *bmcsim.Machine) { m.RepairDIMM(0) }},
		{"the detector is wet", func(m *bmcsim.Machine) { m.WetLeak(0) }, func(m *bmcsim.Machine) { m.DryLeak(0) }},
		{"the room is at 94 %", func(m *bmcsim.Machine) { m.SetRoom(24, 94) }, func(m *bmcsim.Machine) { m.SetRoom(24, 45) }},
	}
	x := all[d.rng.IntN(len(all))]
	do, undo, loud := x.do, x.undo, "and logs it"
	if quiet {
		do, undo, loud = func(m *bmcsim.Machine) { m.Quietly(x.do) }, func(m *bmcsim.Machine) { m.Quietly(x.undo) }, "quietly"
	}
	d.s.do(t, do)
	if !end.IsZero() {
		d.s.do(end, undo)
	}
	if d.rng.IntN(3) == 0 {
		d.i.explains = true
	}
	d.s.damages = append(d.s.damages, damage{x.name, t, false})
	d.note("%s %s to %s, %s", x.name, at(t), at(end), loud)
}

// trouble spoils what a verdict rests on.
func (d *drawing) trouble() {
	s := d.s
	h := func(lo, hi int) time.Duration { return time.Duration(lo+d.rng.IntN(hi-lo+1)) * time.Hour }
	switch kind := d.rng.IntN(17); kind {
	case 0:
		x := d.span(h(1, 3))
		s.silent = append(s.silent, x)
		d.note("BMC silent %s to %s", at(x.from), at(x.to))
	case 1, 2:
		parts := []string{"thermal", "psu", "leak", "storage"}
		part := parts[d.rng.IntN(len(parts))]
		if len(s.make.paths[part]) == 0 {
			return
		}
		x := d.span(h(3, 8))
		if kind == 2 {
			x = span{d.soakFrom.Add(-time.Hour), d.i.made}
		}
		s.gaps = append(s.gaps, partGap{x, part})
		d.note("no answer of %s from %s to %s", part, at(x.from), at(x.to))
	case 3, 4, 5:
		if len(s.log.off) > 0 { // it takes nothing
			return
		}
		t := d.between(d.i.found.Add(-30*time.Minute), d.soakTo.Add(-time.Hour))
		how, name := (*bmcsim.Machine).ClearLog, "cleared"
		switch {
		case kind == 4:
			how, name = (*bmcsim.Machine).WipeLog, "wiped"
		case kind == 5:
			name = "full"
			how = func(m *bmcsim.Machine) {
				for range logCapacity {
					m.CorrectError(0)
				}
			}
		}
		s.do(t, how)
		s.log.spoilt = append(s.log.spoilt, t)
		d.note("log %s %s", name, at(t))
	case 6:
		if s.make.driver == health.DriverIPMI || len(s.log.spoilt) > 0 { // a SEL does not tell that it is switched off
			return
		}
		x := d.span(h(8, 11))
		s.log.off = append(s.log.off, x)
		s.do(x.from, func(m *bmcsim.Machine) { m.SwitchLog(false) })
		s.do(x.to, func(m *bmcsim.Machine) { m.SwitchLog(true) })
		d.note("log off %s to %s", at(x.from), at(x.to))
	case 7:
		x := d.span(h(2, 5))
		s.do(x.from, (*bmcsim.Machine).HostOff)
		s.do(x.to, (*bmcsim.Machine).HostOn)
		d.note("host off %s to %s", at(x.from), at(x.to))
	case 8:
		if !d.i.base.busy {
			return
		}
		x := d.span(h(4, 6))
		s.do(x.from, func(m *bmcsim.Machine) { m.SetLoad(0) })
		s.do(x.to, func(m *bmcsim.Machine) { m.SetLoad(0.7) })
		d.note("idle %s to %s", at(x.from), at(x.to))
	case 9, 10:
		x := d.span(h(2, 5))
		s.freeze(x)
		d.note("frozen %s to %s", at(x.from), at(x.to))
		if kind == 10 { // and something happens meanwhile
			t := d.between(x.from, x.to)
			s.do(t, func(m *bmcsim.Machine) { m.WetLeak(0) })
			s.do(x.to.Add(-time.Second), func(m *bmcsim.Machine) { m.Quietly(func(m *bmcsim.Machine) { m.DryLeak(0) }) })
			s.damages = append(s.damages, damage{"wet while frozen", t, true})
			d.note("wet while frozen, from %s", at(t))
		}
	case 11:
		t := d.between(d.i.found, d.soakTo.Add(-3*time.Hour))
		s.do(t, func(m *bmcsim.Machine) { m.BreakLeak(0) })
		d.note("detector breaks %s", at(t))
	case 12:
		k := d.rng.IntN(2)
		switch d.rng.IntN(3) {
		case 0:
			d.i.attest = append(d.i.attest[:k], d.i.attest[k+1:]...)
			d.note("an attestation is missing")
		case 1:
			d.i.attest[k].At = d.start.Add(-10 * time.Hour)
			d.note("%s is attested of before the water", d.i.attest[k].What)
		default:
			d.i.attest[k].Targets = []health.TargetID{"another"}
			d.note("%s is attested of another server", d.i.attest[k].What)
		}
		if len(d.i.attest) < 2 { // at most one of them
			d.i.attest = append(d.i.attest, verification.Attestation{What: "cleaning", By: "facilities", At: d.soakFrom})
		}
	case 13:
		d.i.made = d.i.made.Add(-h(5, 8))
		d.note("the report is made early")
	case 14, 15:
		x := d.span(h(1, 4))
		if kind == 15 {
			x.to = d.i.made.Add(time.Hour)
		}
		s.down = append(s.down, x)
		d.note("dewline does not run %s to %s", at(x.from), at(x.to))
	case 16:
		if s.target.Expect.Fans == nil {
			return
		}
		more := *s.target.Expect.Fans + 1
		s.target.Expect.Fans = &more
		d.note("a fan more is expected")
	}
}

// harmless is what must not cost a verdict, or is damage that shows in no state.
func (d *drawing) harmless() {
	s := d.s
	t := d.between(d.i.found, d.soakFrom.Add(4*time.Hour))
	end := d.between(t.Add(time.Hour), d.soakTo)
	switch d.rng.IntN(11) {
	case 0:
		s.do(t, func(m *bmcsim.Machine) { m.SwapPSU(1) })
		d.note("PSU 1 exchanged %s", at(t))
	case 1:
		s.do(t, func(m *bmcsim.Machine) { m.SwapDrive(0) })
		d.note("drive 0 exchanged %s", at(t))
	case 2:
		s.do(t, func(m *bmcsim.Machine) { m.SetLoad(0.5) })
		d.note("load 0.5 from %s", at(t))
	case 3:
		s.do(t, func(m *bmcsim.Machine) { m.SetRoom(27, 40) })
		s.do(end, func(m *bmcsim.Machine) { m.SetRoom(24, 45) })
		d.note("27 °C in the room, %s to %s", at(t), at(end))
	case 4:
		s.do(t, func(m *bmcsim.Machine) { m.SetRoom(24, 62) })
		d.note("62 %% in the room from %s", at(t))
	case 5:
		s.do(t, func(m *bmcsim.Machine) { m.SetFanWear(0, 0.03) })
		d.note("fan 0 3 %% slower from %s", at(t))
	case 6, 7:
		to := 0.15 + 0.3*d.rng.Float64()
		for k := range 6 {
			s.do(d.soakFrom.Add(time.Duration(k)*time.Hour), func(m *bmcsim.Machine) { m.SetFanWear(0, to*float64(k+1)/6) })
		}
		s.damages = append(s.damages, damage{"fan wear", d.soakFrom, true})
		d.note("fan 0 slows down by %.0f %%", 100*to)
	case 8:
		s.do(d.soakFrom, func(m *bmcsim.Machine) { m.SetHeat(9) })
		s.damages = append(s.damages, damage{"heat", d.soakFrom, true})
		d.note("the processor is 9 K hotter")
	case 9:
		s.do(d.soakFrom, func(m *bmcsim.Machine) { m.SetPSULoss(0, 0.12) })
		s.damages = append(s.damages, damage{"PSU loss", d.soakFrom, true})
		d.note("PSU 0 wastes 12 %%")
	default: // a restart of the collector between two visits, which costs nothing
		x := d.between(d.soakFrom.Add(time.Hour), d.soakTo.Add(-time.Hour))
		s.restarts = append(s.restarts, x)
		d.note("dewline restarts %s", at(x))
	}
}
