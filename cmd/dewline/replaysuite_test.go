package main

import (
	"log/slog"
	"path/filepath"
	"testing"

	"dewline/collector/collectortest"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/capture"
	"dewline/internal/config"
)

// TestTheCollectorsSuiteOnRecordings: a replay owes what a driver owes, over either protocol, also where the recording is
// redacted.
func TestTheCollectorsSuiteOnRecordings(t *testing.T) {
	t.Setenv("BMC", simPassword)
	for name, of := range map[string]func(t *testing.T) bmcAt{
		"redfish": func(t *testing.T) bmcAt {
			b, _ := simRedfish(t, spoiled(bmcsim.ProfileMixed, "m"), bmcsim.RedfishOptions{Expand: true})
			return b
		},
		"ipmi": func(t *testing.T) bmcAt {
			b, _ := simIPMI(t, spoiled(bmcsim.ProfileLegacy, "m"), bmcsim.IPMIOptions{ReadLimit: 32})
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "machine.tar.gz")
			recordTo(t, file, of(t))
			r, err := capture.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			collectortest.TestSource(t, func(t *testing.T) (collectortest.Source, func()) {
				t.Helper()
				src, err := openReplay(&config.Target{Target: health.Target{ID: "m"}}, r, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				return src, nil
			})
		})
	}
}
