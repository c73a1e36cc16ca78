package detect

import (
	"time"

	"dewline/health"
)

// RuleHostPower is that of a host that went off or came on.
const RuleHostPower = "host_power"

// HostPower is the event that the host went off or came on with this visit, nil if it did not. N is how many events the visit has already.
// Neither is a fault: but hosts of one rack that go off together are a sign of something (package incident).
func HostPower(known *health.Known, v *health.Visit, n int) *health.Event {
	if v.Snapshot == nil || v.Result == health.Failed || v.Result == health.Missed || !v.Tiers().Has(health.TierReadings) {
		return nil
	}
	was, now := known.HostPower, v.Snapshot.HostPower
	if was == now || was == health.HostPowerUnknown || now == health.HostPowerUnknown {
		return nil // not known is no change
	}
	at := v.At()
	const component = "system"
	return &health.Event{
		ID:     health.PolledEventID(v.Target, health.Subjected(component, "host power "+now.String()), health.KindInfo, health.Momentary, at),
		Target: v.Target, Component: component, Class: health.ClassSystem, Kind: health.KindInfo, Severity: health.SeverityInfo, Transition: health.Momentary,
		Rule: RuleHostPower, Message: "the host is " + now.String(), Evidence: []string{"before: " + was.String(), "now: " + now.String()},
		Subject: "host power", At: at.Add(time.Duration(n)), Source: "poll",
	}
}
