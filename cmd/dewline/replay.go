package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/drivers/replay"
	"dewline/health"
	"dewline/internal/capture"
	"dewline/internal/config"
	"dewline/internal/secret"
)

// openReplay opens the real driver on a recorded machine. Of the target only what changes the reading counts: its quirks.
func openReplay(t *config.Target, r *capture.Recording, log *slog.Logger) (collector.Source, error) {
	at := r.Manifest.Time
	now := func() time.Time { return at }
	if r.Manifest.Protocol == capture.ProtocolIPMI {
		bmc, err := replay.NewIPMI(r)
		if err != nil {
			return nil, err
		}
		return ipmi.Open(t.ID, ipmi.Options{
			Address: "ipmi://127.0.0.1", Log: log, Now: now, Exchange: func(ipmi.Exchange) ipmi.Exchange { return bmc.Exchange },
			Leaks: leakProfiles(t.LeakSensors), Quirks: t.Quirks[health.DriverIPMI], QuirksOff: t.QuirksOff[health.DriverIPMI],
		})
	}
	tree := replay.NewRedfish(r)
	return redfish.Open(t.ID, redfish.Options{
		Address: "https://127.0.0.1", Username: "replay", Password: secret.New("replay"), TLS: redfish.TLS{Insecure: true}, // no connection is ever made
		Log: log, UserAgent: "dewline/" + readBuildInfo().Version, Now: now, NoClock: true, RequestBudget: -1,
		Transport: func(http.RoundTripper) http.RoundTripper { return tree },
		Quirks:    t.Quirks[health.DriverRedfish], QuirksOff: t.QuirksOff[health.DriverRedfish],
	})
}

// openReplayTarget opens a configured target whose address is a recording.
func openReplayTarget(t *config.Target, file string, log *slog.Logger) (collector.Source, error) {
	r, err := capture.Open(file)
	if err != nil {
		return nil, fmt.Errorf("recording of target %s: %w", t.ID, err)
	}
	return openReplay(t, r, log)
}

// replayName is a target's name made of a recording's.
func replayName(file string) health.TargetID {
	name := filepath.Base(file)
	for _, suffix := range []string{".gz", ".tgz", ".tar", ".dewline"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return health.TargetID(name)
}

// pollReplay is the document of a recording. It depends on the recording alone: its time is that of the manifest.
func pollReplay(ctx context.Context, file string, limit int) (*pollDoc, error) {
	r, err := capture.Open(file)
	if err != nil {
		return nil, err
	}
	id := replayName(file)
	src, err := openReplay(&config.Target{Target: health.Target{ID: id}}, r, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	v := collector.Poll(ctx, src, health.Target{ID: id, Driver: r.Manifest.Protocol, Origin: health.OriginReplay}, health.EveryTier, limit)
	v.Started, v.Took = r.Manifest.Time, 0
	return newPollDoc(v), src.Close(ctx)
}
