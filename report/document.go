package report

import "time"

// Document is a report, ready to be drawn.
type Document struct {
	Lang     string // BCP 47: "en", "id"
	Title    string
	Subtitle string
	// Mark stands on every page and every chart: that the data is simulated. "" for real machines.
	Mark        string
	GeneratedAt time.Time
	// Footer stands at the foot of every page: which report this is, by which program.
	Footer   string
	Sections []Section
	// PageOf is how "page 3 of 9" is said, with %d for both; "" leaves page numbers out.
	PageOf string
}

// Section is a part of a document with a heading of its own.
type Section struct {
	ID      string // for links: "coverage"
	Title   string
	NewPage bool // begins on a new page where there are pages
	Blocks  []Block
}

// Block is one thing under a heading.
type Block interface{ block() }

// Tone is what a text or figure is coloured for.
type Tone uint8

const (
	Plain Tone = iota
	Good
	Notice // worth a look
	Bad
	Faint // not known, not read
)

// Heading divides a section.
type Heading struct{ Text string }

// Paragraph is running text.
type Paragraph struct {
	Text string
	Tone Tone
}

// Banner is the one line a reader must see: the verdict.
type Banner struct {
	Label string
	Text  string
	Tone  Tone
}

// List is points, one below the other.
type List struct{ Items []string }

// Facts are names and what they are.
type Facts struct{ Rows []Fact }

// Fact is one of Facts.
type Fact struct {
	Name string
	Cell Cell
}

// Table is also a CSV file, named by its ID.
type Table struct {
	ID      string
	Title   string
	Columns []Column
	Rows    [][]Cell
	Note    string // below the table
	// Shown is how many rows are drawn; the rest is in the CSV alone, and More says so below ("%d more rows in %s"). 0: all.
	Shown int
	More  string
}

// Column of a table.
type Column struct {
	Key   string // the CSV's head: lower case, with the unit: "inlet_celsius"
	Title string
	Right bool    // numbers
	Width float64 // share of the width against the other columns; 0 is 1
}

// Cell is a text for people, and what programs read.
type Cell struct {
	Text string
	// Value is what the CSV has: a string, a float64, an int, a bool or a time.Time; nil: Text.
	Value any
	Tone  Tone
}

// Text is a cell of text.
func Text(s string) Cell { return Cell{Text: s} }

// Chart is a figure with a caption.
type Chart struct {
	ID      string
	Title   string
	Figure  Figure
	Caption string
}

// Figure is what a chart shows: *Lines, *Strip or *Bars.
type Figure interface{ figure() }

// Lines are series over time.
type Lines struct {
	From, To time.Time
	Unit     string
	Empty    string // what stands there when no series has a point
	Series   []Series
	Bands    []Band
	Limits   []Limit
	Marks    []Mark
}

// Series is one line. Points are in order of time; where two are further apart than Gap, the line is broken.
type Series struct {
	Name   string
	Points []Point
	Gap    time.Duration
	Tone   Tone
}

// Point of a series.
type Point struct {
	At    time.Time
	Value float64
}

// Band is a span of time with a meaning: the baseline, an outage.
type Band struct {
	From, To time.Time
	Name     string
	Tone     Tone
}

// Limit is a level with a meaning: a threshold.
type Limit struct {
	Value float64
	Name  string
	Tone  Tone
}

// Mark is a moment with a meaning: the incident.
type Mark struct {
	At   time.Time
	Name string
	Tone Tone
}

// Strip shows, row by row, how something stood over time: coverage, a leak detector.
type Strip struct {
	From, To time.Time
	Rows     []StripRow
	Marks    []Mark
	Legend   []Key
}

// StripRow is one line of a strip. What no span covers is drawn empty.
type StripRow struct {
	Name  string
	Spans []Span
}

// Span of a strip.
type Span struct {
	From, To time.Time
	Tone     Tone
}

// Key says what a tone means in a figure.
type Key struct {
	Name string
	Tone Tone
}

// Bars are values beside each other, with what they may reach.
type Bars struct {
	Unit string
	Rows []Bar
}

// Bar is one value. Limit 0: none is known. Missing: the value is not known, which is not zero.
type Bar struct {
	Name    string
	Value   float64
	Limit   float64
	Missing bool
	Tone    Tone
}

func (Heading) block()   {}
func (Paragraph) block() {}
func (Banner) block()    {}
func (List) block()      {}
func (Facts) block()     {}
func (Table) block()     {}
func (Chart) block()     {}

func (*Lines) figure() {}
func (*Strip) figure() {}
func (*Bars) figure()  {}
