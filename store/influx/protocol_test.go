package influx

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// parsed is one line of line protocol, read by the rules of InfluxDB's reference and with none of the encoder's code.
type parsed struct {
	measurement string
	tags        map[string]string
	fields      map[string]any // float64, int64, string
	time        int64
}

// series is what a point is stored under: with its time it is the point.
func (p parsed) series() string { return fmt.Sprint(p.measurement, p.tags) }

func parseLine(line string) (parsed, error) {
	p := parsed{tags: map[string]string{}, fields: map[string]any{}}
	if strings.ContainsAny(line, "\n\r\x00") {
		return p, errors.New("a control character")
	}
	head, rest, ok := cutUnescaped(line, ' ', false)
	if !ok {
		return p, errors.New("no fields")
	}
	var tags string
	p.measurement, tags, _ = cutUnescaped(head, ',', false)
	for more := tags != ""; more; {
		var t string
		t, tags, more = cutUnescaped(tags, ',', false)
		k, v, ok := cutUnescaped(t, '=', false)
		if _, twice := p.tags[unescape(k)]; !ok || k == "" || v == "" || twice {
			return p, fmt.Errorf("tag %q", t)
		}
		p.tags[unescape(k)] = unescape(v)
	}
	fields, stamp, ok := cutUnescaped(rest, ' ', true)
	if !ok {
		return p, errors.New("no time")
	}
	for more := true; more; {
		var f string
		f, fields, more = cutUnescaped(fields, ',', true)
		k, v, ok := cutUnescaped(f, '=', false)
		if !ok || k == "" || v == "" {
			return p, fmt.Errorf("field %q", f)
		}
		value, err := parseValue(v)
		if err != nil {
			return p, fmt.Errorf("field %q: %w", f, err)
		}
		p.fields[unescape(k)] = value
	}
	var err error
	p.time, err = strconv.ParseInt(stamp, 10, 64)
	return p, err
}

func parseValue(v string) (any, error) {
	switch {
	case strings.HasPrefix(v, `"`):
		if len(v) < 2 || !strings.HasSuffix(v, `"`) {
			return nil, errors.New("an open string")
		}
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(v[1 : len(v)-1]), nil
	case strings.HasSuffix(v, "i"):
		return strconv.ParseInt(v[:len(v)-1], 10, 64)
	}
	return strconv.ParseFloat(v, 64)
}

// cutUnescaped cuts at the first sep that no backslash precedes and, if strings count, that is in no string.
func cutUnescaped(s string, sep byte, inFields bool) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case inFields && quoted && s[i] == '\\':
			i++
		case inFields && s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == sep && (i == 0 || s[i-1] != '\\'):
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func unescape(s string) string {
	return strings.NewReplacer(`\,`, `,`, `\=`, `=`, `\ `, ` `).Replace(s)
}
