package influx

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"dewline/health"
)

const (
	tagTarget    = "target"
	tagSite      = "site"
	tagRack      = "rack"
	tagComponent = "component"
	tagOrigin    = "origin"

	fieldState   = "state"
	fieldPresent = "present"
	fieldSeen    = "seen"

	// Of hw_visit and hw_event.
	fieldHostOn  = "host_on"
	fieldSpan    = "span_seconds"
	fieldEventID = "event_id"
	fieldFaultID = "fault_id"
	fieldAtStart = "at_start"
)

// LabelPrefix is put before a label whose name is taken.
const LabelPrefix = "label_"

// taken are names a label cannot have: our tags; our fields, since InfluxQL reads a bare name as the field; time, which
// InfluxDB keeps for itself.
var taken = []string{tagTarget, tagSite, tagRack, tagComponent, tagOrigin, fieldState, fieldPresent, fieldSeen, "time"}

type tag struct{ key, value string }

// targetTags are the tags of every component of a target, by key. The one for the component has no value. Empty values
// are left out, for line protocol has no way to write them.
func targetTags(v *health.Visit, t health.Target) []tag {
	tags := make([]tag, 0, 5+len(t.Labels))
	for _, b := range []tag{
		{tagTarget, string(v.Target)}, {tagSite, t.Site}, {tagRack, t.Rack}, {tagOrigin, string(v.Origin)},
	} {
		if b.value = tagText(b.value); b.value != "" {
			tags = append(tags, b)
		}
	}
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(t.Labels)) {
		key, value := tagText(name), tagText(t.Labels[name])
		if key == "" || value == "" {
			continue
		}
		// 2.x keeps names that begin with an underscore for itself.
		if slices.Contains(taken, key) || strings.HasPrefix(key, "_") {
			key = LabelPrefix + key
		}
		for used[key] {
			key = LabelPrefix + key
		}
		used[key] = true
		tags = append(tags, tag{key, value})
	}
	tags = append(tags, tag{tagComponent, ""})
	slices.SortFunc(tags, func(a, b tag) int { return cmp.Compare(a.key, b.key) })
	return tags
}

// fieldName is health.FieldName, except for a name that would be a field of ours of another meaning.
func fieldName(q health.Quantity, u health.Unit) string {
	name := tagText(health.FieldName(q, u))
	if name == "" || name == fieldState || name == fieldPresent || name == fieldSeen || name == "time" {
		return "value_" + name
	}
	return name
}

// tagText makes text fit for a tag: no control characters, and no backslash at the end, which line protocol would take
// for an escape of what follows and cannot itself escape. Text that is all blank is empty.
func tagText(s string) string {
	s = fieldText(s)
	if strings.HasSuffix(s, `\`) {
		cut := strings.TrimRight(s, `\`)
		s = cut + strings.Repeat("_", len(s)-len(cut))
	}
	if strings.TrimSpace(s) == "" {
		return ""
	}
	return s
}

// fieldText makes text fit for a field: valid UTF-8 of at most health.MaxText bytes, control characters (a newline would
// end the point) as spaces.
func fieldText(s string) string {
	if plain(s) {
		return s
	}
	s = strings.ToValidUTF8(s, string(utf8.RuneError))
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	if len(s) <= health.MaxText {
		return s
	}
	cut := health.MaxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

func plain(s string) bool {
	if len(s) > health.MaxText {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
