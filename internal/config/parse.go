package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"dewline/health"
	"dewline/internal/schedule"
	"dewline/internal/secret"
)

// checker turns raw values into typed ones and collects what is wrong with them.
type checker struct {
	src      *source
	base     string // the folder relative paths belong to
	places   map[string]place
	meant    map[string]bool // keys that are there, misspelt
	faults   []Fault
	warnings []Fault
	secrets  []placedSecret
	names    []placedName
	// whole: every line of the file was understood, so what is not there is missing.
	whole bool
}

// Parse reads the text of a configuration. file names it in faults, and its folder is where relative paths begin. The
// error is Faults. CA files are looked at; secrets are not.
func Parse(file string, data []byte) (*Config, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // some editors begin a file with a byte order mark
	base, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("find the folder of the configuration: %w", err)
	}
	src := newSource(file, data)
	root, faults, broken := parseTree(src)
	raw := &rawFile{}
	d := &decoder{src: src, places: map[string]place{}, meant: map[string]bool{}}
	d.table(root, reflect.ValueOf(raw).Elem(), "")
	c := &checker{src: src, base: base, places: d.places, meant: d.meant, faults: slices.Concat(faults, d.faults), whole: !broken}
	if len(c.faults) == 0 {
		c.second(data)
	}
	cfg := c.file(raw)
	if len(c.faults) > 0 {
		sortFaults(c.faults)
		return nil, Faults(c.faults)
	}
	sortFaults(c.warnings)
	cfg.Warnings, cfg.secrets, cfg.names = c.warnings, c.secrets, c.names
	return cfg, nil
}

// second asks go-toml's own decoder whether it agrees that the file is sound. It checks rules of TOML that the tree does
// not (impossible dates, odd ways to define a table twice).
func (c *checker) second(data []byte) {
	err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&rawFile{})
	if err == nil {
		return
	}
	line, column, message := 1, 1, strings.TrimPrefix(err.Error(), "toml: ")
	if de, ok := errors.AsType[*toml.DecodeError](err); ok {
		line, column = de.Position()
	}
	c.faults = append(c.faults, Fault{File: c.src.file, Line: line, Column: column, Message: offending.ReplaceAllString(message, "")})
}

// has tells whether a key is there with a value of the right type.
func (c *checker) has(path string) bool {
	p, ok := c.places[path]
	return ok && !p.bad
}

// at is the offset of a value; of a missing one, of the nearest table that should hold it.
func (c *checker) at(path string) int {
	for {
		if p, ok := c.places[path]; ok {
			return p.value
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return 0
		}
		path = path[:i]
	}
}

func (c *checker) fault(path, message, hint string) {
	c.faults = append(c.faults, c.src.fault(c.at(path), path, message, hint))
}

func (c *checker) faultAtKey(path, message, hint string) {
	c.faults = append(c.faults, c.src.fault(c.places[path].key, path, message, hint))
}

func (c *checker) warn(path, message, hint string) {
	c.warnings = append(c.warnings, c.src.fault(c.at(path), path, message, hint))
}

// required tells whether a key has a value to check, and that it is missing if it is.
func (c *checker) required(path, table string) bool {
	if _, there := c.places[path]; !there && c.whole && !c.meant[path] {
		name := path[strings.LastIndexByte(path, '.')+1:]
		c.fault(path, fmt.Sprintf("%s lacks %s", table, quote(name)), "")
	}
	return c.has(path)
}

func (c *checker) file(raw *rawFile) *Config {
	cfg, target, influx, backup := defaults()
	if c.has("data_dir") {
		switch {
		case raw.DataDir == "":
			c.fault("data_dir", "`data_dir` is empty", "name a folder, for example "+cfg.DataDir)
		case strings.ContainsRune(raw.DataDir, 0):
			c.fault("data_dir", "`data_dir` is no path", "")
		default:
			cfg.DataDir = c.path(raw.DataDir)
		}
	}
	c.schedule(&cfg.Schedule, raw.Schedule)
	if c.has("collector.slots") {
		c.between("collector.slots", raw.Collector.Slots, 2, 10000)
		cfg.Collector.Slots = raw.Collector.Slots
	}
	for t, text := range raw.Collector.Deadlines.all() {
		path := "collector.deadlines." + t.String()
		if d, ok := c.duration(path, text, time.Second, time.Hour); ok {
			cfg.Collector.Deadlines[t] = d
		}
	}
	if c.has("log.level") {
		levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
		c.oneOf("log.level", raw.Log.Level, "debug", "info", "warn", "error")
		cfg.Log.Level = levels[raw.Log.Level]
	}
	if c.has("log.format") {
		c.oneOf("log.format", raw.Log.Format, "text", "json")
		cfg.Log.Format = raw.Log.Format
	}
	c.retention(&cfg.Retention, &raw.Retention)
	c.moisture(&cfg.Moisture, &raw.Moisture)
	c.incidents(&cfg.Incidents, &raw.Incidents)
	c.notify(&cfg.Notify, &raw.Notify)
	if c.has("backup") {
		c.backup(backup, &raw.Backup, cfg)
		cfg.Backup = backup
	}
	cfg.Quirks = c.quirks(raw.Quirks)
	c.targets(cfg, target, raw)
	if c.has("input") {
		cfg.Input = defaultInput()
		c.input(cfg.Input, &raw.Input)
	}
	c.probes(cfg, raw)
	c.airs(cfg, raw)
	c.leakSensors(cfg, raw)
	c.supplies(cfg, raw)
	if c.has("influxdb") {
		c.influxdb(influx, &raw.InfluxDB)
		cfg.InfluxDB = influx
	}
	return cfg
}

// path makes a path absolute.
func (c *checker) path(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(c.base, p)
}

func (r rawTiers) all() map[health.Tier]string {
	return map[health.Tier]string{
		health.TierReadings: r.Readings, health.TierEvents: r.Events, health.TierHealth: r.Health, health.TierInventory: r.Inventory,
	}
}

func (c *checker) schedule(s *Schedule, raw rawSchedule) {
	if c.has("schedule.timezone") {
		loc, err := time.LoadLocation(raw.Timezone)
		switch {
		case raw.Timezone == "" || raw.Timezone == "Local":
			c.fault("schedule.timezone", "`timezone` must be named", `for example "UTC" or "Asia/Jakarta"`)
		case err != nil:
			c.fault("schedule.timezone", "unknown time zone "+quote(raw.Timezone), `an IANA name, for example "Asia/Jakarta"`)
		default:
			s.Timezone = loc
		}
	}
	if d, ok := c.duration("schedule.spread", raw.Spread, time.Second, 24*time.Hour); ok {
		s.Spread = d
	}
	// The defaults are specs too: in another zone they are due at another time.
	for t, spec := range s.Tiers {
		if spec, err := schedule.Parse(spec.String(), s.Timezone); err == nil {
			s.Tiers[t] = spec
		}
	}
	c.specs("schedule", rawTiers{raw.Readings, raw.Events, raw.Health, raw.Inventory}, s.Timezone, s.Tiers)
}

// specs reads the cron specs of a table into tiers, leaving those that are not given.
func (c *checker) specs(table string, raw rawTiers, loc *time.Location, tiers map[health.Tier]schedule.Spec) {
	for t, text := range raw.all() {
		path := join(table, t.String())
		if !c.has(path) {
			continue
		}
		spec, err := schedule.Parse(text, loc)
		if err != nil {
			if inner := errors.Unwrap(err); inner != nil {
				err = inner // the outer one repeats the spec
			}
			hint := `for example "@every 60s" or "0 3 * * *"`
			if strings.Contains(err.Error(), "@every") {
				hint = "" // the message has an example of its own
			}
			c.fault(path, fmt.Sprintf("%s cannot be scheduled: %v", quote(text), err), hint)
			continue
		}
		tiers[t] = spec
	}
}

func (c *checker) duration(path, text string, least, most time.Duration) (time.Duration, bool) {
	if !c.has(path) {
		return 0, false
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		c.fault(path, fmt.Sprintf("%s is no duration: %s", quote(name), quote(text)), `a number and a unit, for example "30s", "5m" or "1h"`)
	case d < least || d > most:
		c.fault(path, fmt.Sprintf("%s is %s: it must be from %s to %s", quote(name), text, least, most), "")
	default:
		return d, true
	}
	return 0, false
}

func (c *checker) between(path string, n, least, most int) {
	if n < least || n > most {
		name := path[strings.LastIndexByte(path, '.')+1:]
		c.fault(path, fmt.Sprintf("%s is %d: it must be from %d to %d", quote(name), n, least, most), "")
	}
}

func (c *checker) oneOf(path, text string, words ...string) bool {
	if slices.Contains(words, text) {
		return true
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	hint := didYouMean(text, words)
	if hint == "" {
		hint = "one of " + strings.Join(words, ", ")
	}
	c.fault(path, fmt.Sprintf("%s cannot be %s", quote(name), quote(text)), hint)
	return false
}

// maxName bounds names and labels, in characters: they are tags of every point in InfluxDB.
const maxName = 100

// name checks a text that becomes a tag in InfluxDB and a word on a terminal. Any script will do.
func (c *checker) name(path, what, text string) bool {
	bad := ""
	for _, r := range text {
		switch {
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			bad = "a control character"
		case '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069':
			bad = "a character that turns the direction of writing"
		case r == unicode.ReplacementChar:
			bad = "a replacement character (broken text)"
		}
	}
	n := len([]rune(text))
	switch {
	case text == "":
		c.fault(path, what+" is empty", "")
	case bad != "":
		c.fault(path, fmt.Sprintf("%s holds %s", what, bad), "")
	case n > maxName:
		c.fault(path, fmt.Sprintf("%s is too long: %d characters, %d at most", what, n, maxName), "")
	case strings.TrimSpace(text) != text:
		c.fault(path, what+" begins or ends with a blank", "")
	case strings.HasSuffix(text, `\`):
		// In InfluxDB's line protocol it would escape the comma or blank that ends the tag.
		c.fault(path, what+` ends with a backslash`, "InfluxDB cannot store that")
	default:
		return true
	}
	return false
}

// placedSecret is a reference and where it stands.
type placedSecret struct {
	ref     secret.Ref
	problem Fault // its place; the message comes from resolving
}

// secret reads a reference. A relative file belongs to the folder of the configuration.
func (c *checker) secret(path, text string) secret.Ref {
	name := path[strings.LastIndexByte(path, '.')+1:]
	ref, err := secret.ParseRef(text)
	if err != nil {
		c.fault(path, fmt.Sprintf("%s is no reference: %v", quote(name), err), "")
		return ref
	}
	ref = ref.In(c.base)
	if ref.Inline() {
		c.warn(path, quote(name)+" stands in the file: whoever reads the file has it", "use file:/path, env:NAME or cred:NAME")
	}
	c.secrets = append(c.secrets, placedSecret{ref, c.src.fault(c.at(path), path, "", "")})
	return ref
}

// SecretFaults resolves every secret once and says which cannot be had, and why. The secrets are not kept.
func (c *Config) SecretFaults() Faults {
	var fs Faults
	for _, s := range c.secrets {
		if _, err := s.ref.Resolve(); err != nil {
			f := s.problem
			f.Message = err.Error()
			fs = append(fs, f)
		}
	}
	sortFaults(fs)
	return fs
}
