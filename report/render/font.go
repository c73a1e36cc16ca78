package render

import (
	"fmt"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// The fonts of the PDF are the Go fonts: free to embed, part of a Go module, and with Latin, Greek and Cyrillic letters.
var (
	regularTTF = goregular.TTF
	boldTTF    = gobold.TTF
)

// face is the regular font, to measure with and to ask which letters it has. Reading it is work, done once.
var face = sync.OnceValue(func() *sfnt.Font {
	f, err := sfnt.Parse(regularTTF)
	if err != nil {
		panic("render: the embedded font cannot be read: " + err.Error())
	}
	return f
})

const unitsPerEm = 2048

// textWidth of a text in a size, in the regular font.
func textWidth(s string, size float64) float64 {
	var buf sfnt.Buffer
	f := face()
	var sum fixed.Int26_6
	for _, r := range s {
		g, err := f.GlyphIndex(&buf, r)
		if err != nil {
			continue
		}
		a, err := f.GlyphAdvance(&buf, g, fixed.I(unitsPerEm), font.HintingNone)
		if err != nil {
			continue
		}
		sum += a
	}
	return float64(sum) / 64 / unitsPerEm * size
}

// clean makes one line of printable text: what comes from a BMC may hold anything. Marks that turn the direction of text
// around are taken out, since they can make a text read as another.
func clean(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)), " ")
}

// drawable is text that the fonts can show: a letter that they lack is written as its number, so that nothing vanishes.
func drawable(s string) string {
	var buf sfnt.Buffer
	f := face()
	var b strings.Builder
	for _, r := range clean(s) {
		if g, err := f.GlyphIndex(&buf, r); r > 0xFFFF || err != nil || g == 0 {
			fmt.Fprintf(&b, "U+%04X", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// shorten cuts a text to a width, with an ellipsis.
func shorten(s string, width, size float64) string {
	if textWidth(s, size) <= width {
		return s
	}
	rs := []rune(s)
	for len(rs) > 0 && textWidth(string(rs)+"…", size) > width {
		rs = rs[:len(rs)-1]
	}
	return string(rs) + "…"
}
