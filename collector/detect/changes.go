package detect

import (
	"fmt"
	"time"

	"dewline/health"
)

// A step of a BMC's clock is a change of its skew beyond what its resolution, the way to it and its drift make.
const (
	clockSlack = 10 * time.Second
	// A Redfish service may answer from a cache, as it filled it some time ago.
	clockSlackRedfish = 2 * time.Minute
	clockDrift        = 500e-6 // of the time that passed: crystals drift less than a tenth of it
	clockRenew        = 24 * time.Hour
)

// changes reports new firmware, another machine, and steps of the BMC's clock.
func (p *pass) changes(s *health.Snapshot) {
	if now := s.Identity; now != nil {
		was := p.known.Identity
		p.changed(BMC, health.ClassBMC, RuleFirmware, "firmware of the BMC", was.BMCFirmware, now.BMCFirmware, health.SeverityInfo)
		p.changed("system", health.ClassSystem, RuleFirmware, "BIOS of the machine", was.BIOS, now.BIOS, health.SeverityInfo)
		p.changed("system", health.ClassSystem, RulePresence, "serial number of the machine", was.Serial, now.Serial, health.SeverityWarning)
	}
	if skew, ok := readSkew(s); ok {
		slack := clockSlack
		if s.Driver == health.DriverRedfish {
			slack = clockSlackRedfish
		}
		p.skew(skew, slack)
	}
}

// readSkew is how far the BMC's clock is ahead of ours by a visit that read it.
func readSkew(s *health.Snapshot) (time.Duration, bool) {
	for _, r := range s.Readings {
		if r.Quantity == health.ClockSkew && !r.Derived {
			return time.Duration(r.Value * float64(time.Second)), true
		}
	}
	return 0, false
}

// skewNow is how far the BMC's clock is ahead of ours, as far as that is known.
func (p *pass) skewNow(s *health.Snapshot) time.Duration {
	if skew, ok := readSkew(s); ok {
		return skew
	}
	return p.known.Clock.Skew
}

// changed reports what was told before and is told otherwise now.
func (p *pass) changed(c health.ComponentID, class health.Class, rule, what, was, now string, severity health.Severity) {
	if was == "" || now == "" || was == now {
		return
	}
	f := finding{
		component: c, class: class, kind: health.KindInfo, severity: severity, rule: rule, message: cut(fmt.Sprintf("%s changed: %s, before %s", what, now, was)),
		evidence: []string{"before: " + was, "now: " + now}, subject: what,
	}
	p.emit(p.event(f, health.Momentary))
}

func (p *pass) skew(now, slack time.Duration) {
	was := p.known.Clock
	if was.At.IsZero() {
		p.clock = &health.BMCClock{Skew: now, At: p.at}
		return
	}
	passed := p.at.Sub(was.At)
	step := now - was.Skew
	if step.Abs() <= slack+time.Duration(clockDrift*float64(passed)) {
		if passed >= clockRenew {
			p.clock = &health.BMCClock{Skew: now, At: p.at}
		}
		return
	}
	way := "forward"
	if step < 0 {
		way = "back"
	}
	p.clock = &health.BMCClock{Skew: now, At: p.at}
	p.emit(p.event(finding{
		component: BMC, class: health.ClassBMC, kind: health.KindInfo, severity: health.SeverityInfo, rule: RuleClock, subject: "clock",
		message:  fmt.Sprintf("the clock of the BMC was set %s by %s: it is now %s ahead of ours", way, step.Abs().Round(time.Second), now.Round(time.Second)),
		evidence: []string{"ahead before: " + was.Skew.Round(time.Second).String(), "ahead now: " + now.Round(time.Second).String()},
	}, health.Momentary))
}
