package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRetentionAndBackupArrive(t *testing.T) {
	dir := t.TempDir()
	cfg := mustParse(t, filepath.Join(dir, "dewline.toml"), `
data_dir = "data"
[schedule]
timezone = "Asia/Jakarta"
[retention]
raw = "30d12h"
rollups = "0"
max_size = "1.5GiB"
[backup]
path = "copies"
keep = 3
[influxdb]
url = "http://127.0.0.1:8086"
bucket = "b"
max_lag = "36h"
`)
	if want := (Retention{Raw: 732 * time.Hour, MaxSize: 3 << 29}); cfg.Retention != want {
		t.Errorf("%+v", cfg.Retention)
	}
	if b := cfg.Backup; b.Path != filepath.Join(dir, "copies") || b.Keep != 3 || b.Schedule.String() != "CRON_TZ=Asia/Jakarta 30 2 * * *" {
		t.Errorf("%+v", b)
	}
	if cfg.InfluxDB.MaxLag != 36*time.Hour {
		t.Errorf("%v", cfg.InfluxDB.MaxLag)
	}
	if len(cfg.Warnings) != 0 {
		t.Errorf("it warns: %v", cfg.Warnings)
	}
}

func TestFaultsOfRetentionAndBackup(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an age without a unit":          {"[retention]\nraw = \"100\"", "2:7: `raw` is no duration"},
		"an age too short":               {"[retention]\nraw = \"23h\"", "it must be 1d at least, or 0"},
		"an age below zero":              {"[retention]\nrollups = \"-5h\"", "it must be 1d at least"},
		"an age past the end of time":    {"[retention]\nraw = \"99999999999999d\"", "is no duration"},
		"days and nonsense":              {"[retention]\nraw = \"1dx\"", "is no duration"},
		"a size in words":                {"[retention]\nmax_size = \"much\"", "`max_size` is no size"},
		"a size too small to work":       {"[retention]\nmax_size = \"1MB\"", "16MiB at least"},
		"a size past all disks":          {"[retention]\nmax_size = \"99999999TB\"", "`max_size` is no size"},
		"a lag that is none":             {"[influxdb]\nurl=\"http://127.0.0.1:1\"\nbucket=\"b\"\nmax_lag = \"1s\"", "it must be 1h at least, or 0"},
		"a backup to nowhere":            {"[backup]\nkeep = 3", "[backup] lacks `path`"},
		"a backup to an empty path":      {"[backup]\npath = \"\"", "`path` is empty"},
		"a backup into data_dir":         {"data_dir = \"/d\"\n[backup]\npath = \"/d/backup\"", "what takes the one takes the other"},
		"a backup that keeps nothing":    {"[backup]\npath = \"/b\"\nkeep = 0", "`keep` is 0"},
		"a backup that is never due":     {"[backup]\npath = \"/b\"\nschedule = \"0 0 30 2 *\"", "cannot be scheduled"},
		"an option of [backup] misspelt": {"[backup]\npth = \"/b\"", "did you mean `path`"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestRollupsShorterThanRawWarn(t *testing.T) {
	cfg := mustParse(t, "x.toml", "[retention]\nraw = \"500d\"")
	if len(cfg.Warnings) != 1 || cfg.Warnings[0].Line != 2 || !strings.Contains(cfg.Warnings[0].Message, "rollups go before") {
		t.Errorf("%v", cfg.Warnings)
	}
}

func TestDurationsAndSizes(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "1d": 24 * time.Hour, "1d1s": 24*time.Hour + time.Second, "36h": 36 * time.Hour} {
		if d, err := ParseDuration(text); err != nil || d != want {
			t.Errorf("%s is %v, %v", text, d, err)
		}
	}
	for text, want := range map[string]int64{"0": 0, "17": 17, "20GB": 20e9, "512MiB": 512 << 20, "1.5 k": 1500, "2TiB": 2 << 40} {
		if n, err := parseSize(text); err != nil || n != want {
			t.Errorf("%s is %d, %v", text, n, err)
		}
	}
}
