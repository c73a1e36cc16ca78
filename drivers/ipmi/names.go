package ipmi

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"dewline/health"
)

const (
	sixBit  = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"
	bcdPlus = "0123456789 -.:,_"
)

// maxName bounds a sensor's name in characters; an SDR holds at most 31 bytes of it.
const maxName = 64

// decodeID reads the ID string of a data record: its type/length byte (IPMI 2.0 section 43.15) and the bytes that follow.
// The specification counts the length of packed text in characters in one place and bytes in another; so do BMCs and
// tools. What fits into the record decides: a length beyond it can only be characters.
func decodeID(tl byte, rest []byte) string {
	n := int(tl & 0x1f)
	var s string
	switch tl >> 6 {
	case 1:
		if n > len(rest) {
			n = (n + 1) / 2
		}
		s = decodeBCD(head(rest, n))
	case 2:
		if n > len(rest) {
			n = (n*6 + 7) / 8
		}
		s = decodeSixBit(head(rest, n))
	default: // 8-bit Latin 1, and "Unicode", whose encoding nobody wrote down
		s = decodeText(head(rest, n))
	}
	return cleanName(s)
}

func head(b []byte, n int) []byte { return b[:min(n, len(b))] }

// decodeSixBit unpacks 6-bit ASCII, least significant bits first: three bytes hold four characters.
func decodeSixBit(b []byte) string {
	var out strings.Builder
	var acc, bits uint
	for _, x := range b {
		acc |= uint(x) << bits
		for bits += 8; bits >= 6; bits -= 6 {
			out.WriteByte(sixBit[acc&0x3f])
			acc >>= 6
		}
	}
	return out.String()
}

// decodeBCD unpacks BCD plus, two characters a byte, the more significant first.
func decodeBCD(b []byte) string {
	var out strings.Builder
	for _, x := range b {
		out.WriteByte(bcdPlus[x>>4])
		out.WriteByte(bcdPlus[x&15])
	}
	return out.String()
}

// decodeText reads UTF-8 where it is, Latin 1 otherwise, up to the first NUL; two bytes for each character where every second
// one is zero, which is how some write their "Unicode".
func decodeText(b []byte) string {
	if s, ok := decodeWide(b); ok {
		return s
	}
	s, _, _ := strings.Cut(string(b), "\x00")
	if utf8.ValidString(s) {
		return s
	}
	r := make([]rune, 0, len(s))
	for _, c := range []byte(s) {
		r = append(r, rune(c))
	}
	return string(r)
}

// decodeWide reads text of two bytes a character, of either byte order, if it is nothing else.
func decodeWide(b []byte) (string, bool) {
	if len(b) < 4 || len(b)%2 != 0 {
		return "", false
	}
	for low := range 2 {
		var s []byte
		for i := 0; i < len(b) && b[i+1-low] == 0; i += 2 {
			s = append(s, b[i+low])
		}
		if 2*len(s) == len(b) && s[0] != 0 && s[1] != 0 {
			return decodeText(s), true
		}
	}
	return "", false
}

// cleanName takes out what does not print and bounds the length.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxName {
		s = strings.TrimSpace(string(r[:maxName]))
	}
	return s
}

// clip bounds a text to health.MaxText bytes without cutting a character.
func clip(s string) string {
	if len(s) <= health.MaxText {
		return s
	}
	n := health.MaxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
