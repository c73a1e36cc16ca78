package main

import (
	"slices"
	"testing"
	"time"

	"dewline/internal/config"
	"dewline/internal/schedule"
)

// What only a restart can change is named by a reload, and the old value stays in force.
func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	daily, err := schedule.Parse("0 2 * * *", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*config.Config)
		want   []string
	}{
		{"nothing", func(*config.Config) {}, nil},
		{"retention", func(c *config.Config) { c.Retention.Raw = 24 * time.Hour }, []string{"retention"}},
		{"a backup where there was none", func(c *config.Config) { c.Backup = &config.Backup{Path: "/x", Schedule: daily, Keep: 1} }, []string{"backup"}},
		{"data_dir", func(c *config.Config) { c.DataDir = "/elsewhere" }, []string{"data_dir"}},
		{"max_lag", func(c *config.Config) { c.InfluxDB.MaxLag = time.Hour }, []string{"influxdb.max_lag"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, next := config.Default(), config.Default()
			old.InfluxDB, next.InfluxDB = &config.InfluxDB{}, &config.InfluxDB{}
			c.change(next)
			var doc reloadDoc
			(&service{}).keep(old, next, &doc)
			if !slices.Equal(doc.Restart, c.want) {
				t.Errorf("needs a restart: %q, want %q", doc.Restart, c.want)
			}
			if next.DataDir != old.DataDir || next.Retention != old.Retention || !sameBackup(next.Backup, old.Backup) || next.InfluxDB.MaxLag != old.InfluxDB.MaxLag {
				t.Error("a value that needs a restart came into force")
			}
		})
	}
}
