package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"dewline/health"
	"dewline/internal/quirk"
	"dewline/internal/schedule"
	"dewline/internal/secret"
)

// Config is a configuration without faults.
type Config struct {
	DataDir   string // absolute
	Schedule  Schedule
	Collector Collector
	Log       Log
	Retention Retention
	Backup    *Backup // nil: none is made
	Moisture  Moisture
	Incidents Incidents
	Notify    Notify
	Targets   []Target
	InfluxDB  *InfluxDB // nil: nothing is delivered
	// Quirks are rows beside those of the drivers' own tables, by driver.
	Quirks map[string][]quirk.Quirk
	Airs   []Air
	Input  *Input // nil: nothing can be pushed
	Probes []Probe
	// LeakSensors are what is known of IPMI leak sensors, whichever target they are of.
	LeakSensors []LeakSensor
	// SiteBudgets, RackBudgets and Feeds are what power there is, for the capacity review.
	SiteBudgets, RackBudgets []Budget
	Feeds                    []Feed

	// Warnings are what works and should not stay: inline secrets, TLS that is not verified, two targets of one BMC.
	Warnings []Fault

	secrets []placedSecret
	names   []placedName
}

// Schedule is when the tiers are due, unless a target says otherwise.
type Schedule struct {
	Tiers    map[health.Tier]schedule.Spec // one for every tier
	Spread   time.Duration                 // over how long the targets of a cron spec with fields are spread
	Timezone *time.Location                // of specs that name none
}

// Collector bounds the work of reading.
type Collector struct {
	Slots     int                           // targets read at the same time
	Deadlines map[health.Tier]time.Duration // the longest a visit of a tier may take; one for every tier
}

// Log is how dewline speaks on standard error.
type Log struct {
	Level  slog.Level
	Format string // text or json
}

// Retention is how long the store keeps what.
type Retention struct {
	Raw     time.Duration // visits with their readings; 0: for ever
	Rollups time.Duration // five-minute rollups, hourly medians, the account of ticks; 0: for ever
	MaxSize int64         // bytes; 0: no bound
}

// Backup is the scheduled copy of the store.
type Backup struct {
	Path     string // absolute, a folder
	Schedule schedule.Spec
	Keep     int // so many of the newest stay
}

// Target is one BMC and how to get at it.
type Target struct {
	health.Target
	Credential   Credential
	TLS          TLS
	Schedule     map[health.Tier]schedule.Spec // one for every tier: the target's own, or the common one
	Auth         string                        // Redfish: auto, session or basic
	Privilege    string                        // IPMI: user, operator or admin
	CipherSuites []int                         // IPMI: in order of preference; 17 and 3 are known
	Quirks       map[string][]quirk.Quirk      // those of the configuration, by driver
	QuirksOff    map[string][]string           // names of rows, by driver
	LeakSensors  []LeakSensor                  // IPMI: those of the configuration
	// Installed and WarrantyUntil are dates; zero: not told.
	Installed, WarrantyUntil time.Time
}

// Credential is a name and a password. The password is resolved when a session is opened.
type Credential struct {
	Name     string
	Username string
	Password secret.Ref
}

// TLS is how a BMC's certificate is verified. At most one of the three is set; none means the system's authorities.
type TLS struct {
	CAFile      string // absolute path of a PEM file
	Fingerprint string // SHA-256 of the certificate, 64 lower-case hex digits
	Insecure    bool
}

// InfluxDB is where readings and events are delivered.
type InfluxDB struct {
	URL          string
	Organization string     // 2.x and 3.x
	Bucket       string     // 1.8: "database/retention policy"
	Token        secret.Ref // 1.8: user:password
	Timeout      time.Duration
	MaxLag       time.Duration // so long at least is kept what was not delivered; 0: until it is delivered
	TLS          InfluxTLS
}

// InfluxTLS is how the certificate of InfluxDB is verified. At most one is set.
type InfluxTLS struct {
	CAFile   string // absolute path of a PEM file
	Insecure bool
}

// Default is the configuration of an empty file.
func Default() *Config {
	c, _, _, _ := defaults()
	return c
}

// defaults has every default there is: those of the file, of a target, of [influxdb], of [backup].
func defaults() (*Config, *Target, *InfluxDB, *Backup) {
	spec := func(s string) schedule.Spec {
		p, err := schedule.Parse(s, time.UTC)
		if err != nil {
			panic(err) // a default of ours; every test would fail
		}
		return p
	}
	c := &Config{
		DataDir: "/var/lib/dewline",
		Schedule: Schedule{
			Tiers: map[health.Tier]schedule.Spec{
				health.TierReadings:  spec("@every 60s"),
				health.TierEvents:    spec("@every 60s"),
				health.TierHealth:    spec("@every 15m"),
				health.TierInventory: spec("0 3 * * *"),
			},
			Spread:   schedule.DefaultSpread,
			Timezone: time.UTC,
		},
		Collector: Collector{
			Slots: 64,
			Deadlines: map[health.Tier]time.Duration{
				health.TierReadings: 30 * time.Second,
				health.TierEvents:   30 * time.Second,
				// Lenovo XCC takes 11 s for one drive, an NVIDIA DGX minutes for its list of firmware.
				health.TierHealth:    5 * time.Minute,
				health.TierInventory: 10 * time.Minute,
			},
		},
		Log:       Log{Level: slog.LevelInfo, Format: "text"},
		Retention: Retention{Raw: 100 * day, Rollups: 400 * day},
		Moisture: Moisture{
			Class: "A2", Corrosion: "unknown", AlarmDelay: 2 * time.Minute, MaxAge: 5 * time.Minute,
			HumidityError: 3, TemperatureError: 1, MarginWarning: 5, MarginCritical: 2,
		},
		Incidents: Incidents{Window: 10 * time.Minute, Quiet: 30 * time.Minute, Scope: scopeRack},
	}
	t := &Target{
		Target: health.Target{Driver: health.DriverAuto},
		Auth:   "auto",
		// Sensors, SEL and FRU can be read by a plain user; an account that may do no more can do no harm.
		Privilege:    "user",
		CipherSuites: []int{17, 3},
	}
	return c, t, &InfluxDB{Timeout: 20 * time.Second, MaxLag: 7 * day}, &Backup{Schedule: spec("30 2 * * *"), Keep: 7}
}

// maxFile bounds a configuration: 10,000 targets take about 4 MB.
const maxFile = 64 << 20

// Load reads a configuration file. The error is Faults if the file could be read and is wrong.
func Load(path string) (*Config, error) {
	data, err := readRegular(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// readRegular reads a regular file of limited size. A FIFO or a device would block or never end.
func readRegular(path string, limit int64) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, nil
}

// SearchPath is where a configuration is looked for when no -c names one.
var SearchPath = []string{"./dewline.toml", "/etc/dewline/dewline.toml"}

// Find is the path of the configuration: what -c says, else the first file of SearchPath that is there.
func Find(flag string) (string, error) { return find(flag, SearchPath) }

func find(flag string, places []string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	for _, p := range places {
		// One that is there and cannot be read is an error to tell, not a reason to take another.
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			return p, nil
		}
	}
	return "", fmt.Errorf("find configuration: neither %s nor %s exists (name one with -c FILE)", places[0], places[1])
}
