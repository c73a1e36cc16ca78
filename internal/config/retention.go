package config

import (
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"dewline/internal/schedule"
)

const day = 24 * time.Hour

// mostAge bounds ages: nanoseconds end at 292 years.
const mostAge = 100 * 365 * day

func (c *checker) retention(r *Retention, raw *rawRetention) {
	c.age("retention.raw", raw.Raw, day, &r.Raw)
	c.age("retention.rollups", raw.Rollups, day, &r.Rollups)
	if c.has("retention.max_size") {
		if n, err := parseSize(raw.MaxSize); err != nil {
			c.fault("retention.max_size", fmt.Sprintf("`max_size` is no size: %s", quote(raw.MaxSize)), `a number and a unit, for example "20GB" or "512MiB"; "0" is no bound`)
		} else if n != 0 && n < 16<<20 {
			c.fault("retention.max_size", fmt.Sprintf("`max_size` is %s: it must be 16MiB at least, or 0", raw.MaxSize), "")
		} else {
			r.MaxSize = n
		}
	}
	if r.Rollups != 0 && (r.Raw == 0 || r.Rollups < r.Raw) && (c.has("retention.rollups") || c.has("retention.raw")) {
		at := "retention.rollups"
		if !c.has(at) {
			at = "retention.raw"
		}
		c.warn(at, "rollups go before the readings they are made of", "make `rollups` as long as `raw` at least")
	}
}

// age reads a duration that may be written in days, or "0" for "for ever".
func (c *checker) age(path, text string, least time.Duration, to *time.Duration) {
	if !c.has(path) {
		return
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	d, err := ParseDuration(text)
	switch {
	case err != nil:
		c.fault(path, fmt.Sprintf("%s is no duration: %s", quote(name), quote(text)), `a number and a unit, for example "100d" or "36h"; "0" is for ever`)
	case d != 0 && (d < least || d > mostAge):
		c.fault(path, fmt.Sprintf("%s is %s: it must be %s at least, or 0 for ever", quote(name), text, daysText(least)), "")
	default:
		*to = d
	}
}

func daysText(d time.Duration) string {
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return strings.TrimSuffix(d.String(), "0m0s")
}

var daysFirst = regexp.MustCompile(`^([0-9]+)d(.*)$`)

// ParseDuration reads a duration as time.ParseDuration does, with days (of 24 hours) in front: "100d", "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	m := daysFirst.FindStringSubmatch(s)
	if m == nil {
		return time.ParseDuration(s)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > int64(math.MaxInt64/day)/2 {
		return 0, fmt.Errorf("%q is too long", s)
	}
	d := time.Duration(n) * day
	if m[2] == "" {
		return d, nil
	}
	rest, err := time.ParseDuration(m[2])
	if err != nil || rest < 0 {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	return d + min(rest, math.MaxInt64-d), nil
}

var sizeText = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([kKMGT]i?)?B?$`)

// parseSize reads a number of bytes: KB are 1000, KiB 1024.
func parseSize(s string) (int64, error) {
	m := sizeText.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q is no size", s)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, err
	}
	if m[2] != "" {
		base := 1000.0
		if strings.HasSuffix(m[2], "i") {
			base = 1024
		}
		n *= math.Pow(base, float64(1+strings.IndexByte("KMGT", strings.ToUpper(m[2])[0])))
	}
	if n > 1<<60 {
		return 0, fmt.Errorf("%q is too large", s)
	}
	return int64(n), nil
}

func (c *checker) backup(b *Backup, raw *rawBackup, cfg *Config) {
	if spec, err := schedule.Parse(b.Schedule.String(), cfg.Schedule.Timezone); err == nil {
		b.Schedule = spec
	}
	if c.required("backup.path", "[backup]") {
		switch {
		case raw.Path == "":
			c.fault("backup.path", "`path` is empty", "name a folder on another machine's disk, for example /mnt/nas/dewline")
		case strings.ContainsRune(raw.Path, 0):
			c.fault("backup.path", "`path` is no path", "")
		default:
			b.Path = c.path(raw.Path)
			if b.Path == cfg.DataDir || strings.HasPrefix(b.Path, cfg.DataDir+string(filepath.Separator)) {
				c.fault("backup.path", "`path` is in `data_dir`: what takes the one takes the other", "another disk, better another room")
			}
		}
	}
	if c.has("backup.schedule") {
		spec, err := schedule.Parse(raw.Schedule, cfg.Schedule.Timezone)
		if err != nil {
			c.fault("backup.schedule", fmt.Sprintf("%s cannot be scheduled: %v", quote(raw.Schedule), err), `for example "30 2 * * *"`)
		} else {
			b.Schedule = spec
		}
	}
	if c.has("backup.keep") {
		c.between("backup.keep", raw.Keep, 1, 10000)
		b.Keep = raw.Keep
	}
}
