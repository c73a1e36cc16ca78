package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
	"dewline/store/sqlite"
)

// record reads a BMC once, all tiers, into a store.
func record(t *testing.T, db *sqlite.DB, id health.TargetID, driver string, src collector.Source) {
	t.Helper()
	now := time.Now().UTC()
	due := map[health.Tier]time.Time{}
	for _, tier := range health.AllTiers {
		due[tier] = now
	}
	target := health.Target{ID: id, Driver: driver, Address: "bmc"}
	c := collector.New(collector.Options{Recorder: db, Open: func(health.Target, string) (collector.Source, error) { return src, nil }})
	known := health.NewKnown(id).For(target)
	if v, err := c.Visit(t.Context(), target, known, src, due, now); err != nil || v.Result != health.Done {
		t.Fatalf("visit %+v, error %v", v, err)
	}
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStatusShowsWhatWasLearned(t *testing.T) {
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), dir, sqlite.Options{CommitEvery: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m := bmcsim.NewMachine(bmcsim.ProfileModern, "db-1", 1)
	slow := func() time.Time { return time.Now().Add(-3 * time.Hour) }
	m.SetClock(slow)
	web, err := bmcsim.ServeRedfish(m, bmcsim.RedfishOptions{Expand: true, Now: slow})
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	rf, err := redfish.Open("db-1", redfish.Options{
		Address: web.URL(), Username: web.Username(), Password: secret.New(web.Password()), TLS: redfish.TLS{Fingerprint: web.CertFingerprint()},
	})
	if err != nil {
		t.Fatal(err)
	}
	record(t, db, "db-1", health.DriverRedfish, rf)
	lan, err := bmcsim.ServeIPMI(m, bmcsim.IPMIOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer lan.Close()
	im, err := ipmi.Open("db-2", ipmi.Options{Address: "ipmi://" + lan.Addr(), Username: lan.Username(), Password: secret.New(lan.Password())})
	if err != nil {
		t.Fatal(err)
	}
	record(t, db, "db-2", health.DriverIPMI, im)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	code, stdout, stderr := runProgram(t, "status", "--data-dir", dir, "--target", "db-1", "--target", "db-2", "-o", "json")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if code != exitOK || stderr != "" || len(lines) != 3 {
		t.Fatalf("exit %d: %s%s", code, stdout, stderr)
	}
	for i, want := range []map[string]string{
		{
			"authentication": "session at /redfish/v1/SessionService/Sessions", "expand": "compared on 8 collections: true on 8, not used on 0",
			"log": "EventLog: oldest first, $skip not tried", "clock": "3h0m",
		},
		{"authentication": "RMCP+ session, cipher suite 17", "sdr_chunk": "whole records"},
	} {
		var d statusDoc
		if err := json.Unmarshal([]byte(lines[i]), &d); err != nil || d.Learned == nil {
			t.Fatalf("%s: %v", lines[i], err)
		}
		if d.Learned.Firmware == "" || d.Learned.Slow == nil {
			t.Errorf("%s", lines[i])
		}
		for name, value := range want {
			found := ""
			for _, f := range d.Learned.Facts {
				if f.Name == name {
					found = f.Value
				}
			}
			if found != value && !(name == "clock" && strings.HasPrefix(found, value)) {
				t.Errorf("%s: %s is %q, want %q", d.Target, name, found, value)
			}
		}
	}
	code, stdout, _ = runProgram(t, "status", "--data-dir", dir, "--target", "db-1")
	for _, want := range []string{"db-1, firmware 2.15.0, over redfish", "expand", "true on"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in:\n%s", want, stdout)
		}
	}
	if code != exitOK || strings.Contains(stdout, "db-2") {
		t.Errorf("exit %d:\n%s", code, stdout)
	}
	if _, stdout, _ := runProgram(t, "status", "--data-dir", dir, "db-1", "-o", "json"); strings.Contains(stdout, "learned") {
		t.Errorf("without --target: %s", stdout)
	}
}
