package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"dewline/collector"
	"dewline/health"
)

// scripted is a driver that answers with a reason, or reads well.
type scripted struct {
	name     string
	reason   health.Reason // "" reads well
	firmware string
	log      *[]string
}

func (s *scripted) Read(context.Context, health.Request) (*health.Snapshot, error) {
	*s.log = append(*s.log, s.name)
	snap := &health.Snapshot{Driver: s.name, Cost: health.Cost{Requests: 1}}
	if s.reason != "" {
		return snap, &health.Error{Reason: s.reason, Op: "read", Err: errors.New("scripted")}
	}
	if s.firmware != "" {
		snap.Identity = &health.Identity{BMCFirmware: s.firmware}
	}
	return snap, nil
}

func (s *scripted) Close(context.Context) error {
	*s.log = append(*s.log, "close "+s.name)
	return nil
}

func TestAutoChoosesOnce(t *testing.T) {
	for _, c := range []struct {
		name          string
		redfish, ipmi health.Reason
		chosen        string // before
		log           []string
		driver        string // that answered, "" for none
		reason        health.Reason
	}{
		{"Redfish answers: IPMI is not asked", "", "", "", []string{"redfish", "redfish"}, "redfish", ""},
		{"nothing listens for Redfish: IPMI", health.ReasonUnreachable, "", "", []string{"redfish", "close redfish", "ipmi", "ipmi"}, "ipmi", ""},
		{"a web server without Redfish: IPMI", health.ReasonNotFound, "", "", []string{"redfish", "close redfish", "ipmi", "ipmi"}, "ipmi", ""},
		{"a wrong password is one attempt", health.ReasonDenied, "", "", []string{"redfish", "close redfish", "redfish", "close redfish"}, "", health.ReasonDenied},
		{"a certificate that does not verify is no reason for the weaker protocol", health.ReasonTLS, "", "", []string{"redfish", "close redfish", "redfish", "close redfish"}, "", health.ReasonTLS},
		{"neither answers: both are asked again", health.ReasonUnreachable, health.ReasonTimeout, "", []string{"redfish", "close redfish", "ipmi", "close ipmi", "redfish", "close redfish", "ipmi", "close ipmi"}, "", health.ReasonTimeout},
		{"the choice of before is kept, also when it fails", "", health.ReasonTimeout, "ipmi", []string{"ipmi", "ipmi"}, "", health.ReasonTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log []string
			drivers := map[string]*scripted{
				"redfish": {name: "redfish", reason: c.redfish, log: &log}, "ipmi": {name: "ipmi", reason: c.ipmi, log: &log},
			}
			a, err := newAuto(c.chosen, "", slog.New(slog.DiscardHandler), func(d string) (collector.Source, error) { return drivers[d], nil })
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				snap, err := a.Read(t.Context(), health.Request{Tiers: health.EveryTier})
				if snap == nil || snap.Cost.Requests == 0 {
					t.Fatalf("the cost is lost: %+v", snap)
				}
				if c.reason == "" && (err != nil || snap.Driver != c.driver) {
					t.Errorf("driver %q, error %v; want %q", snap.Driver, err, c.driver)
				}
				if c.reason != "" && health.ReasonFor(err) != c.reason {
					t.Errorf("error %v, want %s", err, c.reason)
				}
			}
			if !slices.Equal(log, c.log) {
				t.Errorf("asked %q, want %q", log, c.log)
			}
		})
	}
}

func TestAutoChoosesAnewAfterAnUpdate(t *testing.T) {
	var log []string
	drivers := map[string]*scripted{
		"redfish": {name: "redfish", firmware: "2.0", log: &log}, "ipmi": {name: "ipmi", firmware: "1.0", log: &log},
	}
	a, err := newAuto("ipmi", "1.0", slog.New(slog.DiscardHandler), func(d string) (collector.Source, error) { return drivers[d], nil })
	if err != nil {
		t.Fatal(err)
	}
	read := func() string {
		snap, err := a.Read(t.Context(), health.Request{Tiers: health.EveryTier})
		if err != nil {
			t.Fatal(err)
		}
		return snap.Driver
	}
	if d := read(); d != "ipmi" {
		t.Errorf("the same firmware: %s", d)
	}
	drivers["ipmi"].firmware = "2.0"
	if d := read(); d != "ipmi" {
		t.Errorf("the visit that saw the update: %s", d)
	}
	if d := read(); d != "redfish" {
		t.Errorf("after the update: %s", d)
	}
}
