// Package report holds what every report of dewline is made of: the Document, which says what stands in a report and not how
// it looks, and the catalogue of its texts in the languages dewline speaks.
//
// A report is made in one direction. Its own package (report/verification, report/capacity) reads the store, computes a typed
// model (its JSON), and writes that model down as a Document; report/render draws the Document as HTML, PDF, CSV and terminal
// text; report/evidence puts the files into a signed folder. A figure is computed once, in the model, and every format shows
// that one.
//
// # Values
//
// A Cell has a text for people and a value for programs. The text is rounded and has its unit; the value is the number as it
// was computed. A cell without a value that was looked for says so in words ("not read", "no data"): an empty cell means that
// there is nothing to say, never zero.
package report
