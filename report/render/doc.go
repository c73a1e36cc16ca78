// Package render draws a report.Document: as one HTML page without scripts, as PDF, as CSV per table, and as text for a
// terminal. Charts are drawn once, on a canvas that has two backs, SVG and PDF, and are vectors in both.
//
// The same document gives the same bytes: nothing here reads a clock or a random number.
package render
