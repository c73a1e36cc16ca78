package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/config"
	"dewline/report"
	"dewline/report/capacity"
	"dewline/report/evidence"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// story is the past of the demo's servers, counted back from its start: a roof that leaks, six wet servers that are switched off,
// dried and switched on again, and a power supply that fails late.
type story struct {
	length         time.Duration
	every, health  time.Duration // of readings and events, of the health tier
	leak, lateFail time.Duration // ago
	soak           time.Duration
}

// demoStory is what the demo tells: fourteen days of visits every five minutes.
var demoStory = story{length: 14 * 24 * time.Hour, every: 5 * time.Minute, health: time.Hour, leak: 99 * time.Hour, lateFail: 7 * time.Hour, soak: 72 * time.Hour}

// After the leak.
const (
	pastOff = 25 * time.Minute
	pastDry = 16 * time.Hour
	pastOn  = 21 * time.Hour
)

// play plays the story into a store of its own and writes the two reports about it.
func (y story) play(ctx context.Context, dir, out string, seed uint64, now time.Time, log *slog.Logger) (verdict, review string, err error) {
	to := now.UTC().Truncate(time.Hour)
	from, leak := to.Add(-y.length), to.Add(-y.leak)
	db, err := sqlite.Open(ctx, dir, sqlite.Options{Log: log, CommitEvery: 2 * time.Millisecond, CommitMax: 6})
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	h := past{From: from, To: to, Every: y.every, Health: y.health, Log: log}
	servers := y.servers(seed, leak, to)
	if err := h.play(ctx, servers, db); err != nil {
		return "", "", err
	}
	q := verification.Request{
		Incident: leak.Add(10 * time.Minute), Baseline: y.length, Soak: y.soak, GeneratedAt: to, Program: readBuildInfo().Version, MadeBy: "dewline demo",
		Title: "Roof leak over rack A1", Reference: "demo",
		Attestations: []verification.Attestation{
			{What: "drying", By: "demo: facilities", At: leak.Add(pastDry), Text: "dehumidifiers for 14 hours; equipment at 40 % RH"},
			{What: "inspection", By: "demo: hardware engineer", At: leak.Add(19 * time.Hour), Text: "opened, no visible residue; drives and memory reseated"},
			{What: "cleaning", By: "demo: hardware engineer", At: leak.Add(19 * time.Hour), Text: "connectors wiped with isopropanol"},
			{What: "power_on", By: "demo: head of operations", At: leak.Add(pastOn), Text: "one server after the other"},
		},
	}
	for _, s := range servers {
		q.Targets = append(q.Targets, s.Target.ID)
	}
	r := storeReader{db}
	d, err := newDossier(ctx, db, r, &q)
	if err != nil {
		return "", "", err
	}
	if d.texts, err = report.TextsIn(report.Reference); err != nil {
		return "", "", err
	}
	if d.key, err = evidence.ThrowAway(); err != nil {
		return "", "", err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.write(gctx, filepath.Join(out, "verification")) })
	g.Go(func() (err error) {
		review, err = y.review(gctx, filepath.Join(out, "capacity"), r, servers, to, d.texts, d.key)
		return err
	})
	if err := g.Wait(); err != nil {
		return "", "", err
	}
	return d.texts.Say("verdict." + d.report.Verdict.String()), review, nil
}

// review writes the capacity review of the same days. They are short for one, and it says so.
func (y story) review(ctx context.Context, out string, r storeReader, servers []pastServer, to time.Time, texts *report.Texts, key evidence.Key) (line string, err error) {
	q := capacity.Request{
		From: to.Add(-y.length), Until: to, GeneratedAt: to, Program: readBuildInfo().Version, MadeBy: "dewline demo", Title: "Capacity of the demo's room", Reference: "demo",
		Air:   airOf(config.Default().Moisture),
		Racks: []capacity.Budget{{Name: bmcsim.DemoRack, Site: bmcsim.DemoSite, VoltAmperes: 16 * 230 * 0.8, PowerFactor: 0.95, Sum: "16 A × 230 V × 0.8"}},
	}
	if q.Targets, err = r.Targets(ctx); err != nil {
		return "", err
	}
	for _, s := range servers {
		if s.Target.ID == "db-1" {
			q.Changes = append(q.Changes, capacity.Change{Text: "add 2 x db-1", N: 2, Like: []health.TargetID{s.Target.ID}})
		}
	}
	var rep *capacity.Report
	err = writeReport(out, func(tmp string) error {
		rep, err = writeCapacity(ctx, tmp, r, q, texts, func(bool) (evidence.Key, error) { return key, nil }, false)
		return err
	})
	if err != nil {
		return "", err
	}
	return rep.Line(texts), nil
}

// servers are the demo's servers and what happens to each.
func (y story) servers(seed uint64, leak, to time.Time) []pastServer {
	machines, _ := bmcsim.DemoRoom(seed)
	var out []pastServer
	wet := map[string]time.Duration{"gpu-1": 0, "nas-1": 5 * time.Minute, "db-1": 9 * time.Minute, "mail-1": 20 * time.Minute}
	for i, m := range machines {
		driver := bmcsim.DemoDriver(i)
		s := pastServer{Machine: m, Driver: driver, Target: health.Target{
			ID: health.TargetID(m.Name()), Driver: driver, Address: driver + "://past", Site: bmcsim.DemoSite, Rack: bmcsim.DemoRack, Position: i + 1, Origin: health.OriginDemo,
		}}
		step := func(after time.Duration, do func(*bmcsim.Machine)) {
			s.Steps = append(s.Steps, pastStep{leak.Add(after), do})
		}
		// The room: humid from an hour before anyone noticed until it was dried.
		for k := range 24 {
			rh := 45.0 + 2*float64(k)
			step(time.Duration(k-36)*5*time.Minute, func(m *bmcsim.Machine) { m.SetRoom(24, rh) })
		}
		for k := range 24 {
			rh := 91.0 - 2*float64(k)
			step(10*time.Hour+time.Duration(k)*15*time.Minute, func(m *bmcsim.Machine) { m.SetRoom(24, rh) })
		}
		if after, ok := wet[m.Name()]; ok {
			step(after, func(m *bmcsim.Machine) { m.WetLeak(0) })
			step(pastDry, func(m *bmcsim.Machine) { m.DryLeak(0) })
		}
		if m.Name() == "web-1" {
			step(12*time.Minute, func(m *bmcsim.Machine) { m.LosePSUInput(0) })
			step(20*time.Hour, func(m *bmcsim.Machine) { m.RestorePSUInput(0) })
		}
		step(pastOff, (*bmcsim.Machine).HostOff)
		step(pastOff+10*time.Minute, (*bmcsim.Machine).OpenLid)
		step(19*time.Hour+30*time.Minute, (*bmcsim.Machine).CloseLid)
		step(pastOn, (*bmcsim.Machine).HostOn)
		if m.Name() == "app-1" {
			s.Steps = append(s.Steps, pastStep{to.Add(-y.lateFail), func(m *bmcsim.Machine) { m.FailPSU(1) }})
		}
		out = append(out, s)
	}
	return out
}

// summary is where the demo says what it all amounts to: off a terminal, standard output has lines for programs and nothing else.
func (p *program) summary() io.Writer {
	if _, _, tty := terminal(p.stdout); tty {
		return p.stdout
	}
	return p.stderr
}

// pastReport is the reports on the demo's past, in the making.
type pastReport struct {
	dir, folder string
	keep        bool // the past itself too
	cancel      context.CancelFunc
	ended       chan struct{}
	verdict     string // once ended
	review      string
	err         error
}

// startPast begins to play the past beside the demo; it must be stopped. Nil if there is a report already. Without a folder to
// keep things in, the report gets one of its own.
func (p *program) startPast(ctx context.Context, y story, out string, seed uint64, log *slog.Logger) (*pastReport, error) {
	keep := out != ""
	if !keep {
		var err error
		if out, err = os.MkdirTemp("", "dewline-demo-report-"); err != nil {
			return nil, err
		}
	}
	r := &pastReport{folder: out, dir: filepath.Join(out, "past"), keep: keep, ended: make(chan struct{})}
	for _, path := range []string{filepath.Join(r.folder, "verification"), filepath.Join(r.folder, "capacity"), r.dir} {
		if _, err := os.Stat(path); err == nil {
			fmt.Fprintf(p.stderr, "no new report: %s is there already\n", path)
			return nil, nil
		}
	}
	ctx, r.cancel = context.WithCancel(ctx)
	now := time.Now()
	go func() {
		defer close(r.ended)
		r.verdict, r.review, r.err = y.play(ctx, r.dir, r.folder, seed, now, log)
	}()
	return r, nil
}

// tell waits for the report and says where it lies. A demo that is interrupted before it is made has none.
func (r *pastReport) tell(ctx context.Context, to io.Writer) error {
	<-r.ended
	switch {
	case r.err == nil:
		fmt.Fprintf(to, "verification report on fourteen simulated days, a roof leak and a late failure: %s\n%s\n", r.verdict, filepath.Join(r.folder, "verification", "report.html"))
		fmt.Fprintf(to, "capacity review of the same fourteen days, which are short for one: %s\n%s\n", r.review, filepath.Join(r.folder, "capacity", "report.html"))
	case ctx.Err() == nil:
		return fmt.Errorf("report on the simulated past: %w", r.err)
	}
	return nil
}

// stop ends what is not done, waits for that, and removes what is of no use: half a past is none.
func (r *pastReport) stop() error {
	r.cancel()
	<-r.ended
	var err error
	if r.err != nil || !r.keep {
		err = os.RemoveAll(r.dir)
	}
	if r.err != nil && !r.keep {
		err = errors.Join(err, os.RemoveAll(r.folder))
	}
	return err
}
