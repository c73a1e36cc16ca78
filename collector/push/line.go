package push

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// point is one line of InfluxDB's line protocol:
//
//	measurement[,tag=value…] field=value[,field=value…] [timestamp]
//
// Commas, equals signs and blanks of names and tags are escaped by a backslash, quotes and backslashes of texts too. Values are floats,
// integers (1i, 1u), texts in quotes and booleans. (github.com/influxdata/line-protocol, the parser of old telegrafs, panics on a
// lone backslash; what anyone may send here must not.)
type point struct {
	line        int
	measurement string
	tags        []pair
	fields      []field
	at          time.Time // zero: the line has none
}

type pair struct{ key, value string }

type field struct {
	key   string
	value any // float64, int64, uint64, string, bool
}

// scanner reads one line; pos is where it stands.
type scanner struct {
	b   []byte
	pos int
}

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("column %d: %s", s.pos+1, fmt.Sprintf(format, args...))
}

func (s *scanner) end() bool { return s.pos >= len(s.b) }

// name reads up to one of the given bytes that is not escaped. Escapes are undone for those bytes alone, as InfluxDB does it.
func (s *scanner) name(what, until, escaped string) (string, error) {
	var out []byte
	for !s.end() {
		c := s.b[s.pos]
		if c == '\\' && s.pos+1 < len(s.b) && strings.IndexByte(escaped, s.b[s.pos+1]) >= 0 {
			out = append(out, s.b[s.pos+1])
			s.pos += 2
			continue
		}
		if strings.IndexByte(until, c) >= 0 {
			break
		}
		out = append(out, c)
		s.pos++
	}
	if len(out) == 0 {
		return "", s.fail("%s is missing", what)
	}
	if !utf8.Valid(out) {
		return "", s.fail("%s is no UTF-8", what)
	}
	return string(out), nil
}

func (s *scanner) skip() {
	for !s.end() && s.b[s.pos] == ' ' {
		s.pos++
	}
}

// text reads a text in quotes; pos stands behind the first one.
func (s *scanner) text() (string, error) {
	var out []byte
	for !s.end() {
		switch c := s.b[s.pos]; {
		case c == '\\' && s.pos+1 < len(s.b) && (s.b[s.pos+1] == '"' || s.b[s.pos+1] == '\\'):
			out = append(out, s.b[s.pos+1])
			s.pos += 2
		case c == '"':
			s.pos++
			return strings.ToValidUTF8(string(out), "�"), nil
		default:
			out = append(out, c)
			s.pos++
		}
	}
	return "", s.fail("a text without its closing quote")
}

func (s *scanner) value() (any, error) {
	if !s.end() && s.b[s.pos] == '"' {
		s.pos++
		return s.text()
	}
	from := s.pos
	for !s.end() && s.b[s.pos] != ',' && s.b[s.pos] != ' ' {
		s.pos++
	}
	word := string(s.b[from:s.pos])
	v, ok := scalar(word)
	if !ok {
		s.pos = from
		return nil, s.fail("%.60q is no value: a number, a whole number with i or u, a text in quotes, or true or false", word)
	}
	return v, nil
}

func scalar(word string) (any, bool) {
	switch word {
	case "t", "T", "true", "True", "TRUE":
		return true, true
	case "f", "F", "false", "False", "FALSE":
		return false, true
	case "":
		return nil, false
	}
	switch word[len(word)-1] {
	case 'i':
		n, err := strconv.ParseInt(word[:len(word)-1], 10, 64)
		return n, err == nil
	case 'u':
		n, err := strconv.ParseUint(word[:len(word)-1], 10, 64)
		return n, err == nil
	}
	// ParseFloat takes more than line protocol has: hexadecimal numbers, underscores, inf and nan.
	if strings.IndexFunc(word, func(r rune) bool { return !strings.ContainsRune("0123456789+-.eE", r) }) >= 0 {
		return nil, false
	}
	n, err := strconv.ParseFloat(word, 64)
	return n, err == nil
}

// lineBreaks cuts a body into lines; a line break within quotes belongs to its text.
func lineBreaks(body []byte) [][]byte {
	var lines [][]byte
	from, quoted, fields, comment := 0, false, false, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '#' && i == from:
			comment = true
		case c == '\\' && !comment:
			i++ // what it escapes begins and ends nothing
		case c == '"' && fields && !comment:
			quoted = !quoted
		case c == ' ' && !quoted:
			fields = true // quotes before the first blank are part of a name
		case c == '\n' && !quoted:
			lines = append(lines, body[from:i])
			from, fields, comment = i+1, false, false
		}
	}
	return append(lines, body[min(from, len(body)):])
}

// parseLines reads line protocol. Its error says which line, and where in it.
func parseLines(body []byte, unit time.Duration) ([]point, error) {
	var points []point
	number := 1
	for _, b := range lineBreaks(body) {
		n := number
		number += 1 + bytes.Count(b, []byte("\n"))
		b = bytes.TrimRight(b, "\r")
		b = bytes.TrimLeft(b, " \t")
		if len(b) == 0 || b[0] == '#' {
			continue
		}
		p, err := parseLine(b, unit)
		if err != nil {
			return nil, fmt.Errorf("line %d, %w", n, err)
		}
		p.line = n
		points = append(points, p)
	}
	return points, nil
}

func parseLine(b []byte, unit time.Duration) (point, error) {
	s := &scanner{b: b}
	var p point
	var err error
	if p.measurement, err = s.name("the measurement", ", ", `, `); err != nil {
		return p, err
	}
	for !s.end() && s.b[s.pos] == ',' {
		s.pos++
		var t pair
		if t.key, err = s.name("a tag's name", "=, ", `,= `); err != nil {
			return p, err
		}
		if s.end() || s.b[s.pos] != '=' {
			return p, s.fail("tag %.60q has no value", t.key)
		}
		s.pos++
		if t.value, err = s.name("the value of tag "+strconv.Quote(t.key), ", ", `,= `); err != nil {
			return p, err
		}
		p.tags = append(p.tags, t)
	}
	s.skip()
	for {
		var f field
		if f.key, err = s.name("a field", "=, ", `,= `); err != nil {
			return p, err
		}
		if s.end() || s.b[s.pos] != '=' {
			return p, s.fail("field %.60q has no value", f.key)
		}
		s.pos++
		if f.value, err = s.value(); err != nil {
			return p, err
		}
		p.fields = append(p.fields, f)
		if s.end() || s.b[s.pos] != ',' {
			break
		}
		s.pos++
	}
	if !s.end() && s.b[s.pos] != ' ' {
		return p, s.fail("a blank or a comma should follow the value")
	}
	s.skip()
	if s.end() {
		return p, nil
	}
	word := strings.TrimRight(string(s.b[s.pos:]), " ")
	at, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return p, s.fail("%.60q is no timestamp", word)
	}
	if at > math.MaxInt64/int64(unit) || at < math.MinInt64/int64(unit) {
		return p, s.fail("timestamp %d is out of range: is `precision` right?", at)
	}
	p.at = time.Unix(0, at*int64(unit))
	return p, nil
}
