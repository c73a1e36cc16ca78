// Package verification makes the post-incident hardware verification report: may these servers carry production again, as far
// as their BMCs can tell?
//
// # The way of it
//
//	Request, report.Reader -> history (one server's windows, hour by hour) -> findings -> gates -> Verdict -> Report (JSON)
//	Report -> report.Document -> report/render
//
// Everything is computed from hours (health.HourFacts), events, log entries and what was installed. The windows of each server:
//
//	baseline   ends 24 h before the first evidence, or the incident if that is earlier: water precedes notice
//	outage     from power being removed until it was restored, observed or attested: shown, and outside coverage
//	soak       from then on; only hours with the host on, at half the baseline's power or more, count
//
// # What it never says
//
// That a server is undamaged, or dry. No evidence of damage within the window is what telemetry can bear. Inconclusive is the
// verdict that stands until every gate (Gates) is passed; no gate can be acknowledged, silenced or closed away.
package verification
