package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"dewline/collector"
	"dewline/collector/incident"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/config"
	"dewline/internal/schedule"
	"dewline/internal/secret"
	"dewline/store/sqlite"
)

// demoEvery is the demo's rhythm: fast enough that a person sees the leak come and go.
const demoEvery = "@every 5s"

func (p *program) demoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "six simulated servers and a roof leak; no configuration",
		Long: `Demo starts six simulated servers on this machine's loopback, three that speak Redfish and three that speak IPMI, and reads
them with the real drivers on the real schedule, every 5 seconds. A fan fails, a leak detector gets wet and the room's
humidity closes on the dew point; each comes and goes within 50 seconds. On a terminal it shows a live table; otherwise
it prints a line for each event: TIME TARGET COMPONENT KIND asserted|cleared; and at its end one for each incident that they
amount to: incident ID (simulated): what, where, how fast.`,
		Example: "  dewline demo\n  dewline demo --for 2m\n  dewline demo --for 1m --out ./demo && dewline incidents --data-dir ./demo/data",
	}
	length := cmd.Flags().Duration("for", 0, "end by itself after this long (default: until Ctrl-C)")
	out := cmd.Flags().String("out", "", "keep what was recorded in this `folder` (default: a temporary one, deleted at the end)")
	seed := cmd.Flags().Uint64("seed", 1, "seed of the simulated machines' noise")
	noReport := cmd.Flags().Bool("no-report", false, "leave out the fourteen days of past and the report on them")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *length < 0 {
			return usageError("--for %s: a positive duration", *length)
		}
		tell := &demoStory
		if *noReport {
			tell = nil
		}
		return p.demo(cmd.Context(), *length, *out, *seed, tell)
	}
	return cmd
}

// demo runs the room, and beside it plays a past and reports on it; nil: neither.
func (p *program) demo(ctx context.Context, length time.Duration, out string, seed uint64, tell *story) (err error) {
	dir := filepath.Join(out, "data")
	if out == "" {
		if dir, err = os.MkdirTemp("", "dewline-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	interrupted := ctx
	if length > 0 { // its end is a stop like Ctrl-C, not a deadline that the BMCs missed
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer time.AfterFunc(length, cancel).Stop()
	}
	room, err := bmcsim.StartDemo(context.WithoutCancel(ctx), seed)
	if err != nil {
		return fmt.Errorf("start the simulated servers: %w", err)
	}
	defer func() { err = errors.Join(err, room.Close()) }()

	log := slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := sqlite.Open(ctx, dir, sqlite.Options{Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	jobs, targets, err := demoJobs(room)
	if err != nil {
		return err
	}
	show := newDemoView(p.stdout, p.liveTable(), jobs)
	c := collector.New(collector.Options{
		Open: func(t health.Target, chosen string) (collector.Source, error) {
			return openTarget(targets[t.ID], chosen, "", "", log)
		},
		Recorder: db, Log: log, OnVisit: show.visit, Spread: time.Second,
	})
	var past *pastReport
	if tell != nil {
		defer debug.SetGCPercent(debug.SetGCPercent(400)) // a minute's work on fourteen days: memory for time
		if past, err = p.startPast(interrupted, *tell, out, seed, log); err != nil {
			return err
		}
		if past != nil {
			defer func() { err = errors.Join(err, past.stop()) }()
		}
	}
	fleet := make([]health.Target, len(jobs))
	for i := range jobs {
		fleet[i] = jobs[i].Target
	}
	incidents := followIncidents(db, config.Default().Incidents, func() []health.Target { return fleet }, slog.New(slog.DiscardHandler))
	show.start()
	err = supervise(ctx, c, jobs, db, nil, incidents.Run)
	show.stop()
	if err != nil {
		return err
	}
	if err := p.demoIncidents(context.WithoutCancel(ctx), db, incidents); err != nil {
		return err
	}
	if past != nil {
		if err := past.tell(interrupted, p.summary()); err != nil {
			return err
		}
	}
	if out != "" {
		fmt.Fprintf(p.stderr, "recorded in %s (simulated machines): dewline status --data-dir %s\n", dir, dir)
	}
	if length > 0 && interrupted.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	return nil
}

// demoIncidents tells what the events amounted to.
func (p *program) demoIncidents(ctx context.Context, db *sqlite.DB, follow *incident.Follower) error {
	if err := follow.CatchUp(ctx); err != nil { // what the stop left
		return err
	}
	found, err := db.Incidents(ctx, health.IncidentFilter{})
	if err != nil {
		return err
	}
	for _, x := range found {
		fmt.Fprintf(p.summary(), "incident %s (simulated): %s\n", x.ID[:shortID], printable(x.Summary))
	}
	return nil
}

// demoJobs makes configured targets of the simulated servers: they are reached like real ones, certificate pinned.
func demoJobs(room *bmcsim.Demo) ([]collector.Job, map[health.TargetID]*config.Target, error) {
	specs := map[health.Tier]schedule.Spec{}
	for tier, text := range map[health.Tier]string{
		health.TierReadings: demoEvery, health.TierEvents: demoEvery, health.TierHealth: "@every 15s", health.TierInventory: "@every 1h",
	} {
		spec, err := schedule.Parse(text, time.UTC)
		if err != nil {
			return nil, nil, err
		}
		specs[tier] = spec
	}
	var jobs []collector.Job
	targets := map[health.TargetID]*config.Target{}
	for _, s := range room.Servers {
		var password secret.Ref
		if err := password.UnmarshalText([]byte(s.Password)); err != nil {
			return nil, nil, err
		}
		t := &config.Target{
			Target: health.Target{
				ID: health.TargetID(s.Name), Address: s.URL, Driver: s.Driver, Site: s.Site, Rack: s.Rack, Position: s.Position, Origin: health.OriginDemo,
			},
			Credential: config.Credential{Username: s.Username, Password: password},
			TLS:        config.TLS{Fingerprint: s.Fingerprint},
		}
		targets[t.ID] = t
		jobs = append(jobs, collector.Job{Target: t.Target, Schedule: specs})
	}
	return jobs, targets, nil
}
