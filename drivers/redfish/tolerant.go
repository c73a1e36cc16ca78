package redfish

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"dewline/health"
)

// number is a JSON number, or a string that holds one (Huawei and AMI quote them). Everything else ("N/A" of Cisco CIMC,
// null, NaN, the ±1.79e308 with which some firmware says "no limit") is absent, and never an error.
type number struct {
	V  float64
	OK bool
	// Odd is what stands there that is no number and not null: why there is none.
	Odd string
}

// maxNumber is the bound beyond which a number is a sentinel.
const maxNumber = 1e300

func (n *number) UnmarshalJSON(b []byte) error {
	*n = number{}
	b = bytes.TrimSpace(b)
	s := string(b)
	if len(s) >= 2 && s[0] == '"' {
		var q string
		if json.Unmarshal(b, &q) != nil {
			return nil
		}
		s = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(q), "%"))
	}
	if len(s) > 0 && len(s) <= 64 && strings.ContainsRune("+-.0123456789", rune(s[0])) && !strings.ContainsAny(s, "xXpP_") {
		if v, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(v) && math.Abs(v) <= maxNumber {
			*n = number{V: v, OK: true}
			return nil
		}
	}
	if len(s) > 0 && s != "null" {
		n.Odd = cut(clean(string(b[:min(len(b), 64)])), 32)
	}
	return nil
}

// as is the number in another unit.
func (n number) as(v float64) number {
	n.V = v
	return n
}

// ptr is the number's address, nil if absent.
func (n number) ptr() *float64 {
	if !n.OK {
		return nil
	}
	return &n.V
}

// text is a JSON string, number or bool as a string (MemberId is a number on AMI), cut to health.MaxText, without control
// characters. Everything else is "".
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	*t = ""
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return nil
	}
	switch c := b[0]; {
	case c == '"':
		if plain(b) {
			*t = text(strings.TrimSpace(string(b[1 : len(b)-1])))
			return nil
		}
		var s string
		if json.Unmarshal(b, &s) == nil {
			*t = text(clean(s))
		}
	case c == '-' || c >= '0' && c <= '9', c == 't', c == 'f':
		if len(b) <= 64 {
			*t = text(b)
		}
	}
	return nil
}

// plain reports whether a quoted JSON string needs no decoding: short, printable ASCII, no escapes.
func plain(b []byte) bool {
	if len(b) < 2 || len(b) > health.MaxText {
		return false
	}
	for _, c := range b[1 : len(b)-1] {
		if c < 0x20 || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// clean makes a BMC's text fit to keep: trimmed, one line, valid UTF-8, at most health.MaxText bytes.
func clean(s string) string {
	if len(s) > 4*health.MaxText {
		s = s[:4*health.MaxText]
	}
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), func(r rune) bool {
		// C1 too: U+009B starts a terminal's escape sequence. What turns the direction of writing makes a text look like another.
		return r == ' ' || unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
	}), " ")
	return cut(s, health.MaxText)
}

// cut shortens s to at most n bytes, not inside a rune.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// flag is a JSON bool, or the string or number some firmware writes for it. Unset if absent: a missing FailurePredicted
// says nothing.
type flag struct{ V, OK bool }

func (f *flag) UnmarshalJSON(b []byte) error {
	*f = flag{}
	switch strings.ToLower(strings.Trim(string(bytes.TrimSpace(b)), `"`)) {
	case "true", "1", "yes":
		*f = flag{true, true}
	case "false", "0", "no":
		*f = flag{false, true}
	}
	return nil
}

// link is an @odata.id: in an object, or a bare string (H3C writes Members as strings).
type link string

func (l *link) UnmarshalJSON(b []byte) error {
	*l = ""
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case '"':
		var s string
		if json.Unmarshal(b, &s) == nil {
			*l = link(s)
		}
	case '{':
		var o struct {
			ID   text `json:"@odata.id"`
			Href text `json:"href"` // iLO 4 before Redfish conformance
		}
		if decode(b, &o) == nil {
			*l = link(o.ID)
			if *l == "" {
				*l = link(o.Href)
			}
		}
	}
	return nil
}

// many is a list that some firmware writes as a single object (PowerControl of Cisco CIMC) or as null. An odd element
// costs itself only.
type many[T any] []T

// maxMany bounds the elements of a list taken from a BMC.
const maxMany = 10000

func (m *many[T]) UnmarshalJSON(b []byte) error {
	*m = nil
	b = bytes.TrimSpace(b)
	if len(b) == 0 || bytes.Equal(b, []byte("null")) {
		return nil
	}
	raws := []json.RawMessage{b}
	if b[0] == '[' {
		if _, own := any((*T)(nil)).(json.Unmarshaler); own {
			m.each(b)
			return nil
		}
		// Nearly every list is what it should be: one pass. The rest is taken apart element by element.
		var whole []*T
		if json.Unmarshal(b, &whole) == nil {
			for _, p := range whole[:min(len(whole), maxMany)] {
				if p != nil {
					*m = append(*m, *p)
				}
			}
			return nil
		}
		raws = nil
		if json.Unmarshal(b, &raws) != nil {
			return nil
		}
	}
	for _, r := range raws[:min(len(raws), maxMany)] {
		var v T
		if bytes.Equal(bytes.TrimSpace(r), []byte("null")) || decode(r, &v) != nil {
			continue
		}
		*m = append(*m, v)
	}
	return nil
}

// each reads a list whose elements decode themselves. They get their text without another pass over it that looks whether it is valid:
// expanded collections are the larger part of what is read.
func (m *many[T]) each(b []byte) {
	for e := range elements(b) {
		if len(*m) == maxMany {
			return
		}
		var v T
		if !bytes.Equal(e, []byte("null")) && any(&v).(json.Unmarshaler).UnmarshalJSON(e) == nil {
			*m = append(*m, v)
		}
	}
}

// elements are those of a JSON list, without the white space around them. The text must be valid.
func elements(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		depth, from := 0, 0
		for i := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				i = closing(b, i)
			case '[', '{':
				if depth++; depth == 1 {
					from = i + 1
				}
			case ']', '}':
				depth--
			}
			if i < len(b) && (depth == 0 && b[i] == ']' || depth == 1 && b[i] == ',') {
				if e := bytes.TrimSpace(b[from:i]); len(e) > 0 && !yield(e) || depth == 0 {
					return
				}
				from = i + 1
			}
		}
	}
}

// object is a T that is left empty when the JSON is of another kind ("Status": "OK").
type object[T any] struct{ V T }

func (o *object[T]) UnmarshalJSON(b []byte) error {
	var v T
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '{' && decode(b, &v) == nil {
		o.V = v
	}
	return nil
}

// decode is json.Unmarshal that forgives fields of the wrong kind: encoding/json skips such a field, goes on, and reports
// it at the end.
func decode(b []byte, v any) error {
	err := json.Unmarshal(b, v)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil
	}
	return err
}

// repair makes two frequent breaches of JSON readable: raw control characters inside strings (idrac_exporter #192: a
// carriage return in a drive's serial) and bare nan or inf where a number belongs (OpenBMC sensors). It returns nil when
// the result is no JSON object either.
func repair(b []byte) []byte {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	out := make([]byte, 0, len(b))
	in := false
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case in && c == '\\' && i+1 < len(b):
			if b[i+1] < 0x20 {
				out = append(out, ' ')
			} else {
				out = append(out, c, b[i+1])
			}
			i++
			continue
		case in && c < 0x20:
			c = ' '
		case c == '"':
			in = !in
		case !in && (c == 'n' || c == 'N' || c == 'i' || c == 'I' || c == '-'):
			if n := bareNumber(b[i:]); n > 0 {
				out = append(out, "null"...)
				i += n - 1
				continue
			}
		}
		out = append(out, c)
	}
	if !isObject(out) {
		return nil
	}
	return out
}

// bareNumber is the length of a NaN or infinity at the start of b, 0 for none.
func bareNumber(b []byte) int {
	for _, w := range []string{"-infinity", "infinity", "-inf", "inf", "-nan", "nan"} {
		if len(b) >= len(w) && strings.EqualFold(string(b[:len(w)]), w) {
			return len(w)
		}
	}
	return 0
}

func isObject(b []byte) bool {
	b = bytes.TrimSpace(b)
	return len(b) > 1 && b[0] == '{' && json.Valid(b)
}
