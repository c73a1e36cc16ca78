package redfish

import (
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dewline/health"
)

var (
	messageByKey = byKey(messages)
	compiled     = compilePhrases(phrases)

	leakWords = regexp.MustCompile(`(?i)leak|moist|flood|drip|(^|[^a-z])(water|wet|rope)`)

	crossed     = regexp.MustCompile(`(?i)^(above|below)(upper|lower)(caution|critical|fatal)threshold$`)
	openBMC     = regexp.MustCompile(`(?i)^sensorthreshold(warning|critical)(high|low)going(high|low)$`)
	codeWords   = regexp.MustCompile(`(?i)^(lower|upper) (non-critical|critical|non-recoverable) - going (low|high)$`)
	limitWords  = regexp.MustCompile(`(less than|below|under|greater than|above|over|exceeds) (?:its |the )?(lower|upper) (warning|caution|non-critical|critical|fatal|non-recoverable)`)
	lenovoID    = regexp.MustCompile(`(?i)^FQXS[A-Z]([A-Z]{2})([0-9])[0-9]{3}([A-Z])$`)
	lettersID   = regexp.MustCompile(`(?i)^([A-Z]{2,4})[0-9]{1,4}$`)
	lenovoAreas = map[string]health.Class{"PW": health.ClassPSU, "SE": health.ClassIntrusion, "MA": health.ClassMemory, "SD": health.ClassDrive}
)

func byKey(rows []message) map[string]*message {
	m := make(map[string]*message, len(rows))
	for i := range rows {
		m[strings.ToLower(rows[i].key)] = &rows[i]
	}
	return m
}

type compiledPhrase struct {
	*phrase
	re *regexp.Regexp
}

func compilePhrases(l []phrase) []compiledPhrase {
	out := make([]compiledPhrase, len(l))
	for i := range l {
		out[i] = compiledPhrase{&l[i], regexp.MustCompile(l[i].pattern)}
	}
	return out
}

// messageKey is a MessageId without its registry and version, whether that has two parts (the specification), three (SONiC, some
// NVIDIA) or none, and without the space that ends one in Platform 1.3.0. Of a MessageId that is a registry alone it is "".
func messageKey(id string) string {
	id = strings.TrimSpace(id)
	i := strings.LastIndexByte(id, '.')
	key := strings.TrimSpace(id[i+1:])
	if _, err := strconv.Atoi(key); err == nil && i >= 0 {
		return ""
	}
	return key
}

// said is what a log entry says, as far as it decides what it means.
type said struct {
	id, text         string
	args             []string
	code, sensorType string // EntryCode and SensorType of SEL entries
	origin           string
	class            health.Class // of the component, if that is certain
	severity         health.Severity
	deassert         bool
}

// verdict is what the table makes of it.
type verdict struct {
	message
	rule string
}

// interpret finds the row of the table for a log entry: by its key, then by what it is of, then by its words (which are the least
// certain, and are asked only where the kind of part is known).
func interpret(s said) (verdict, bool) {
	class := s.class
	if class == "" {
		class = classOfOrigin(s.origin)
	}
	leak := class == health.ClassLeakDetector || (class == "" || class == health.ClassSensor) && s.leak()
	if leak {
		class = health.ClassLeakDetector
	}
	key := messageKey(s.id)
	if row := messageByKey[strings.ToLower(key)]; row != nil {
		m := *row
		return verdict{fit(m, class, leak), m.key}, true
	}
	if m, ok := crossedThreshold(key, class); ok {
		return verdict{m, key}, true
	}
	if m, ok := s.sel(class); ok {
		return m, true
	}
	return s.words(key, class)
}

func (s said) leak() bool {
	return leakWords.MatchString(s.origin) || slices.ContainsFunc(s.args, leakWords.MatchString)
}

// fit turns a row about any resource into one about the class at hand: health that changed means what a state of that class means.
func fit(m message, class health.Class, leak bool) message {
	if m.class == "" {
		m.class = class
	}
	generic := strings.HasPrefix(m.key, "Resource")
	switch {
	case !generic:
		if leak && m.class == health.ClassLeakDetector && strings.HasPrefix(m.key, "Sensor") {
			m.kind = health.KindDetectorFault
		}
	case leak && (m.vague || strings.HasPrefix(m.key, "ResourceErrors")) && m.effect == begins:
		m.kind, m.vague = health.KindLeakDetected, false
	case leak && m.effect == over:
		m.kind, m.ends, m.vague = health.KindLeakDetected, []health.Kind{health.KindDetectorFault}, false
	case strings.HasPrefix(m.key, "ResourceErrors") && class == health.ClassMemory && m.effect == begins:
		m.kind, m.effect = health.KindCorrectableError, tells
	case strings.HasPrefix(m.key, "ResourceErrors") && m.effect == begins:
		m.effect = tells // nothing says when it is over
	case m.vague && m.effect == begins && isMeasured(class):
		m.kind = health.KindUnknown // which threshold, its readings tell
	}
	return m
}

func isMeasured(c health.Class) bool {
	switch c {
	case health.ClassTemperature, health.ClassVoltage, health.ClassCurrent, health.ClassPower, health.ClassHumidity, health.ClassFlow, health.ClassSensor, "":
		return true
	}
	return false
}

// crossedThreshold decodes the messages about thresholds: standard ones, and OpenBMC's. A value that came back from beyond the fatal or the
// critical threshold is still beyond the next one: the condition lessens, it does not end.
func crossedThreshold(key string, class health.Class) (message, bool) {
	if m := openBMC.FindStringSubmatch(key); m != nil {
		high := strings.EqualFold(m[2], "high")
		critical := strings.EqualFold(m[1], "critical")
		switch {
		case strings.EqualFold(m[2], m[3]): // high going high, low going low
			return limit(class, high, critical, begins), true
		case critical:
			return limit(class, high, false, begins), true
		}
		return limit(class, high, false, over), true
	}
	if strings.EqualFold(key, "SensorReadingNormalRange") {
		key = "ReadingNormal"
	}
	for _, s := range thresholdSubjects {
		if len(key) <= len(s.prefix) || !strings.EqualFold(key[:len(s.prefix)], s.prefix) {
			continue
		}
		of := s.class
		if of == "" || class != "" && class != health.ClassSensor {
			of = class
		}
		rest := key[len(s.prefix):]
		if m := crossed.FindStringSubmatch(rest); m != nil {
			above, upper := strings.EqualFold(m[1], "above"), strings.EqualFold(m[2], "upper")
			level := strings.ToLower(m[3])
			if above == upper {
				return limit(of, upper, level != "caution", begins), true
			}
			if level == "caution" {
				return limit(of, upper, false, over), true
			}
			return limit(of, upper, level == "fatal", begins), true
		}
		m := message{class: of, kind: s.over, effect: begins, vague: true}
		if of != health.ClassTemperature {
			m.kind = health.KindUnknown // of which side it does not say
		}
		switch strings.ToLower(rest) {
		case "critical", "fatal", "nolongerfatal":
			m.severity = crit
		case "warning", "nolongercritical":
			m.severity = warn
		case "normal":
			m = limit(of, true, false, over)
			m.ends = []health.Kind{s.over, s.under, health.KindFailed, health.KindDegraded, health.KindUnknown}
		default:
			continue
		}
		return m, true
	}
	return message{}, false
}

// limit is a threshold that is passed, or no longer. A fan below its critical speed failed; a leak detector that passes any limit is
// wet.
func limit(class health.Class, high, critical bool, e effect) message {
	m := message{class: class, kind: health.KindUnderThreshold, severity: warn, effect: e}
	if high {
		m.kind = health.KindOverThreshold
	}
	if critical {
		m.severity = crit
	}
	switch class {
	case health.ClassHumidity:
		m.kind = health.KindHumidityLow
		if high {
			m.kind = health.KindHumidityHigh
		}
	case health.ClassFan, health.ClassPump:
		switch {
		case high:
		case critical:
			m.kind = health.KindFailed
		default:
			m.kind = health.KindDegraded
		}
		if e == over {
			m.ends = faults
		}
	case health.ClassLeakDetector:
		m.kind = health.KindLeakDetected
	}
	if e == over {
		m.severity = good
	}
	return m
}

// sel decodes what a SEL record left in a LogEntry: the code 0xNNaabbcc (event direction and type, then the event data) and the words
// of EntryCode. The end of a condition is told by the direction, not by the severity that stands beside it.
func (s said) sel(class health.Class) (verdict, bool) {
	if class == "" {
		class = classOfSensorType(s.sensorType)
	}
	if m := codeWords.FindStringSubmatch(s.code); m != nil {
		upper := strings.EqualFold(m[1], "upper")
		if upper != strings.EqualFold(m[3], "high") {
			return verdict{}, false // back over one threshold: past which one now, a reading tells
		}
		return verdict{limit(class, upper, !strings.EqualFold(m[2], "non-critical"), begins), "EntryCode"}, true
	}
	code := strings.TrimPrefix(strings.ToLower(s.id), "0x")
	b, err := hex.DecodeString(code)
	if err != nil || len(b) != 4 || strings.Contains(s.id, ".") {
		return verdict{}, false
	}
	ended, event, offset := b[0]&0x80 != 0, b[0]&0x7f, b[1]&0x0f
	var m message
	switch event {
	case 0x01:
		i := slices.Index([]byte{0, 2, 4, 7, 9, 0xb}, offset)
		if i < 0 {
			return verdict{}, false
		}
		m = limit(class, i >= 3, i%3 > 0, begins)
	case 0x04:
		if m = (message{class: class, kind: health.KindPredictedFailure, severity: warn, effect: begins}); offset == 0 {
			ended = !ended
		}
	case 0x07:
		switch offset {
		case 1, 4:
			m = message{class: class, kind: health.KindDegraded, severity: warn, effect: begins}
		case 2, 3, 5, 6:
			m = message{class: class, kind: health.KindFailed, severity: crit, effect: begins}
		case 0:
			m, ended = message{class: class, kind: health.KindFailed, ends: faults}, true
		default:
			return verdict{}, false
		}
		if class == health.ClassLeakDetector {
			m.kind = health.KindLeakDetected
		}
	case 0x0b:
		switch offset {
		case 0:
			m, ended = message{class: class, kind: health.KindRedundancyLost, ends: groups}, true
		case 1, 3, 4:
			m = message{class: class, kind: health.KindRedundancyLost, severity: warn, effect: begins}
		case 5:
			m = message{class: class, kind: health.KindRedundancyLost, severity: crit, effect: begins}
		case 2, 6, 7:
			m = message{class: class, kind: health.KindRedundancyDegraded, severity: warn, effect: begins}
		default:
			return verdict{}, false
		}
	default:
		return verdict{}, false // what 6Fh means hangs on the sensor type, which not all give: the words tell
	}
	if ended {
		m.effect, m.severity = over, good
	}
	return verdict{m, "SEL code"}, true
}

// words decodes by the words of the message. Lenovo and Dell say in the identifier which part it is about.
func (s said) words(key string, class health.Class) (verdict, bool) {
	recovery := s.deassert
	if m := lenovoID.FindStringSubmatch(key); m != nil {
		recovery = recovery || m[2] == "2"
		if class == "" {
			class = lenovoAreas[strings.ToUpper(m[1])]
		}
	} else if m := lettersID.FindStringSubmatch(key); m != nil && class == "" {
		class = areas[strings.ToUpper(m[1])]
	}
	if class == "" {
		class = classOfSensorType(s.sensorType)
	}
	text := strings.ToLower(s.text)
	if class == "" && strings.Contains(text, "humidity") {
		class = health.ClassHumidity
	}
	switch redundancy := strings.Contains(text, "redundan"); { // of a group, not of a part
	case redundancy && strings.Contains(text, "fan"):
		class = health.ClassSensor
	case redundancy && strings.Contains(text, "power"):
		class = health.ClassPowerUnit
	}
	if class == "" {
		return verdict{}, false
	}
	if m := limitWords.FindStringSubmatch(text); m != nil {
		above, upper := m[1] == "above" || m[1] == "over" || m[1] == "greater than" || m[1] == "exceeds", m[2] == "upper"
		critical := m[3] == "critical" || m[3] == "fatal" || m[3] == "non-recoverable"
		switch {
		case above == upper && !recovery:
			return verdict{limit(class, upper, critical, begins), "words: threshold"}, true
		case critical && class == health.ClassHumidity && !recovery: // better, and still out of range
			return verdict{limit(class, upper, false, begins), "words: threshold"}, true
		}
		return verdict{limit(class, upper, false, over), "words: threshold"}, true
	}
	for _, p := range compiled {
		if p.class != "" && p.class != class || !p.re.MatchString(text) {
			continue
		}
		m := message{class: class, kind: p.kind, severity: p.severity, effect: p.effect, ends: p.ends}
		if m.kind == health.KindPredictedFailure && class == health.ClassLeakDetector {
			continue
		}
		if recovery && m.effect == begins { // "… has failed" with a deassert: it no longer has
			m.effect, m.severity, m.ends = over, good, nil
			if m.kind == health.KindFailed {
				m.ends = faults
			}
		}
		return verdict{m, "words: " + p.pattern}, true
	}
	return verdict{}, false
}

// originClasses are segments of URIs that tell the class of a part.
var originClasses = map[string]health.Class{
	"fans": health.ClassFan, "powersupplies": health.ClassPSU, "drives": health.ClassDrive, "diskdrives": health.ClassDrive,
	"volumes": health.ClassVolume, "logicaldrives": health.ClassVolume, "memory": health.ClassMemory, "processors": health.ClassCPU,
	"leakdetectors": health.ClassLeakDetector, "pciedevices": health.ClassPCIe, "batteries": health.ClassBattery, "pumps": health.ClassPump,
	"networkadapters": health.ClassNIC, "temperatures": health.ClassTemperature, "voltages": health.ClassVoltage, "controllers": health.ClassStorageController,
}

// classOfOrigin is the class of the part a URI names, as far as its path tells: the last segment but one, or an array of a document.
func classOfOrigin(uri string) health.Class {
	path, fragment, _ := strings.Cut(strings.ToLower(uri), "#")
	for _, p := range []string{fragment, path} {
		segs := strings.Split(strings.Trim(p, "/"), "/")
		if len(segs) >= 2 {
			if c, ok := originClasses[segs[len(segs)-2]]; ok {
				return c
			}
		}
	}
	return ""
}

// sensorTypes are the words of LogEntry.SensorType that tell the class of a part.
var sensorTypes = map[string]health.Class{
	"temperature": health.ClassTemperature, "voltage": health.ClassVoltage, "current": health.ClassCurrent, "fan": health.ClassFan,
	"physical chassis security": health.ClassIntrusion, "processor": health.ClassCPU, "power supply / converter": health.ClassPSU,
	"powerunit": health.ClassPowerUnit, "power unit": health.ClassPowerUnit, "memory": health.ClassMemory, "drive slot/bay": health.ClassDrive,
	"drive slot": health.ClassDrive, "battery": health.ClassBattery, "event logging disabled": health.ClassLog, "system event log": health.ClassLog,
}

func classOfSensorType(s string) health.Class {
	return sensorTypes[strings.ToLower(strings.TrimSpace(s))]
}

// apply writes a verdict into the entry.
func (d verdict) apply(e *health.LogEntry) {
	e.Kind, e.Cleared = d.kind, d.effect == over
	e.Decoded = health.Decoded{
		Rule: d.rule, Severity: d.severity, Class: d.class, Lasts: d.effect == begins, Vague: d.vague,
	}
	for _, k := range d.ends {
		if k != d.kind {
			e.Decoded.Ends = append(e.Decoded.Ends, k)
		}
	}
}

// namesOf are the names by which an entry calls its part: its arguments, and the end of its origin.
func namesOf(e *health.LogEntry) []string {
	var names []string
	origin := strings.TrimRight(e.Origin, "/")
	for _, n := range append(slices.Clone(e.Args[:min(len(e.Args), 4)]), origin[strings.LastIndexByte(origin, '/')+1:]) {
		if n != "" && len(n) <= 128 && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}
