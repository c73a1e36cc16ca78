// Package capacity makes the capacity review: what to buy or retire, from what the BMCs measured.
//
// # The way of it
//
//	Request, report.FleetReader -> plan (which series of each server) -> Days, one after the other -> servers and groups
//	-> the sections' figures -> decision -> Report (JSON) -> report.Document -> report/render
//
// The window is read once, day by day over all servers, so that memory grows with servers and not with days. What is kept of a
// server is a histogram for each of its quantities (health.Histogram: percentiles within 0.8 %) and a few figures for each day; of a
// group (rack, feed, site) the same of its time-aligned sum.
//
// # What it never says
//
// That something not read is 0, or like the last value. A sum over servers counts only in steps in which 95 % of them were read. A
// forecast needs its minimum of days, and has an interval. docs/CAPACITY.md has the method, the minimums and the formulas.
package capacity
