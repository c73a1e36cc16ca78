package render

import (
	"dewline/report"
)

// colour is red, green, blue.
type colour struct{ r, g, b uint8 }

var (
	black  = colour{0x22, 0x26, 0x2b}
	grey   = colour{0x6b, 0x72, 0x80}
	pale   = colour{0xd9, 0xdd, 0xe3}
	green  = colour{0x1a, 0x7f, 0x4b}
	amber  = colour{0xb4, 0x69, 0x00}
	red    = colour{0xb4, 0x23, 0x18}
	blue   = colour{0x1f, 0x5f, 0xa8}
	palest = colour{0xf3, 0xf5, 0xf8}
)

// palette is for lines beside each other. The order is one that colour-blind readers can tell apart (Okabe and Ito, 2008, darkened for white paper).
var palette = []colour{{0x00, 0x62, 0xa3}, {0xc4, 0x5a, 0x00}, {0x00, 0x80, 0x62}, {0xa6, 0x4b, 0x86}, {0x3a, 0x8f, 0xbf}, {0x8a, 0x7d, 0x00}, black}

// ink is the colour of a tone.
func ink(t report.Tone) colour {
	switch t {
	case report.Good:
		return green
	case report.Notice:
		return amber
	case report.Bad:
		return red
	case report.Faint:
		return grey
	}
	return blue
}

// wash is the colour of a tone as a background.
func wash(t report.Tone) colour {
	switch t {
	case report.Good:
		return colour{0xdf, 0xf1, 0xe7}
	case report.Notice:
		return colour{0xfd, 0xf0, 0xd5}
	case report.Bad:
		return colour{0xfb, 0xe3, 0xe0}
	case report.Faint:
		return colour{0xea, 0xec, 0xef}
	}
	return colour{0xe3, 0xec, 0xf7}
}

type align uint8

const (
	left align = iota
	middle
	right
)

type point struct{ x, y float64 }

// canvas is what charts are drawn on. Units are points (1/72 inch), y grows downwards.
type canvas interface {
	line(a, b point, width float64, c colour, dash bool)
	polyline(ps []point, width float64, c colour)
	rect(x, y, w, h float64, fill colour)
	text(at point, s string, size float64, a align, c colour)
	// width of a text in that size.
	width(s string, size float64) float64
}
