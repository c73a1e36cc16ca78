package quirk

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Range is a range of firmware versions: all of its bounds hold. The zero value holds every version.
type Range struct{ bounds []bound }

type bound struct {
	op      string
	version []int
	text    string
}

// ParseRange reads comparisons parted by commas: ">=2.60, <2.64". A version alone is that version and what begins with it.
func ParseRange(s string) (Range, error) {
	var r Range
	if strings.TrimSpace(s) == "" {
		return r, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		op := "="
		for _, o := range []string{">=", "<=", ">", "<", "="} {
			if rest, ok := strings.CutPrefix(part, o); ok {
				op, part = o, strings.TrimSpace(rest)
				break
			}
		}
		if !plainVersion.MatchString(part) {
			return Range{}, fmt.Errorf("%q is no version: numbers and dots, with >=, <=, >, < or = in front", part)
		}
		v, ok := parseVersion(part)
		if !ok {
			return Range{}, fmt.Errorf("%q is no version", part)
		}
		r.bounds = append(r.bounds, bound{op, v, part})
	}
	if low, high := r.limits(); low != nil && high != nil && compare(low, high) > 0 {
		return Range{}, errors.New("no version is in this range")
	}
	return r, nil
}

// limits are the highest lower and the lowest upper bound, nil for none.
func (r Range) limits() (low, high []int) {
	for _, b := range r.bounds {
		if strings.HasPrefix(b.op, ">") && (low == nil || compare(b.version, low) > 0) {
			low = b.version
		}
		if strings.HasPrefix(b.op, "<") && (high == nil || compare(b.version, high) < 0) {
			high = b.version
		}
	}
	return low, high
}

// MustRange is ParseRange of a range in a driver's own table.
func MustRange(s string) Range {
	r, err := ParseRange(s)
	if err != nil {
		panic(err) // a table of ours; every test would fail
	}
	return r
}

// Contains reports whether a version, as firmware writes it, is in the range.
func (r Range) Contains(firmware string) bool {
	v, ok := parseVersion(firmware)
	if !ok {
		return len(r.bounds) == 0
	}
	for _, b := range r.bounds {
		c := compare(v, b.version)
		begins := len(v) >= len(b.version) && slices.Equal(v[:len(b.version)], b.version)
		in := false
		switch b.op {
		case "=":
			in = begins
		case ">=":
			in = c >= 0
		case ">":
			in = c > 0 && !begins // 2.60.1 is not past 2.60
		case "<=":
			in = c <= 0 || begins
		case "<":
			in = c < 0
		}
		if !in {
			return false
		}
	}
	return true
}

// String is the range as it is written.
func (r Range) String() string {
	var l []string
	for _, b := range r.bounds {
		if b.op == "=" {
			l = append(l, b.text)
		} else {
			l = append(l, b.op+b.text)
		}
	}
	return strings.Join(l, ", ")
}

var (
	plainVersion = regexp.MustCompile(`^\d+(\.\d+)*$`)
	dotted       = regexp.MustCompile(`\d+(\.\d+)+`)
	number       = regexp.MustCompile(`\d+`)
)

// parseVersion takes the version out of what firmware writes: "iLO 5 v2.44", "2.60P", "7.00.00.00", "OBMC-2.12.0-dev".
func parseVersion(s string) ([]int, bool) {
	if len(s) > 256 {
		s = s[:256]
	}
	t := dotted.FindString(s)
	if t == "" {
		t = number.FindString(s)
	}
	if t == "" {
		return nil, false
	}
	var v []int
	for part := range strings.SplitSeq(t, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		v = append(v, n)
	}
	return v, true
}

// compare orders versions number by number; a missing one is 0.
func compare(a, b []int) int {
	for i := range max(len(a), len(b)) {
		x, y := 0, 0
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}
