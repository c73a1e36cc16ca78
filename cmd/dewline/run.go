package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dewline/collector"
	"dewline/health"
	"dewline/internal/config"
	"dewline/store/influx"
	"dewline/store/sqlite"
)

func (p *program) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "the daemon: read every BMC on its schedule, keep it, deliver it",
		Long: `Run reads every configured target on its schedules, records what they say in data_dir, and delivers it to InfluxDB if
one is configured. SIGTERM or Ctrl-C ends it clean: sessions on the BMCs are deleted and all that was read is on disk.`,
		Example: "  dewline run -c /etc/dewline/dewline.toml",
	}
	configPath := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := loadConfig(*configPath)
		if err != nil {
			return err
		}
		if len(cfg.Targets) == 0 {
			return usageError("the configuration has no [[target]]: there is nothing to read")
		}
		return p.run(cmd.Context(), cfg)
	}
	return cmd
}

// newLogger is the daemon's log, on standard error.
func (p *program) newLogger(c config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(p.stderr, o))
	}
	return slog.New(slog.NewTextHandler(p.stderr, o))
}

// deliverGrace is how long a stopping daemon still delivers what is on disk; the rest is delivered at the next start.
const deliverGrace = 5 * time.Second

func (p *program) run(ctx context.Context, cfg *config.Config) error {
	log := p.newLogger(cfg.Log)
	defer ignoreHangup(log)()
	for _, w := range cfg.Warnings {
		log.Warn(w.Message, "key", w.Key, "line", w.Line, "hint", w.Hint)
	}
	if cfg.Backup == nil {
		log.Warn(noBackup, "hint", noBackupHint)
	}
	var sinks []string
	if cfg.InfluxDB != nil {
		sinks = append(sinks, influx.DefaultName)
	}
	db, err := sqlite.Open(ctx, cfg.DataDir, sqlite.Options{Log: log, Sinks: sinks, Retention: retentionOf(cfg)})
	if err != nil {
		return fmt.Errorf("data_dir %s: %w", cfg.DataDir, err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			log.Error("close the store", "err", err)
		}
	}()

	if info, err := os.Stat(cfg.DataDir); err == nil && info.Mode().Perm()&0o022 != 0 { // one that was there before: ours is 0700
		log.Warn("others than its owner can write in data_dir and so replace the store", "data_dir", cfg.DataDir, "mode", info.Mode().Perm())
	}
	for _, name := range sinks { // so that status shows a sink that has never delivered anything as behind
		if err := db.SetSinkCursor(ctx, name, 0); err != nil {
			return fmt.Errorf("enter sink %s into the store: %w", name, err)
		}
	}
	targets := map[health.TargetID]*config.Target{}
	var jobs []collector.Job
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		targets[t.ID] = t
		jobs = append(jobs, collector.Job{Target: t.Target, Schedule: t.Schedule})
	}
	firmware := map[health.TargetID]string{} // as of the start: an update since then is noticed by comparison
	statuses, err := db.Statuses(ctx)
	if err != nil {
		return err
	}
	for _, s := range statuses {
		firmware[s.Target] = s.Identity.BMCFirmware
	}
	var sink *influx.Sink
	if cfg.InfluxDB != nil {
		sink, err = openInflux(cfg.InfluxDB, db, func(id health.TargetID) (health.Target, bool) {
			t, ok := targets[id]
			if !ok {
				return health.Target{}, false
			}
			return t.Target, true
		}, log)
		if err != nil {
			return err
		}
	}
	c := collector.New(collector.Options{
		Open: func(t health.Target, chosen string) (collector.Source, error) {
			return openTarget(targets[t.ID], chosen, firmware[t.ID], log)
		},
		Recorder: db, Slots: cfg.Collector.Slots, Deadline: cfg.Collector.Deadlines, Spread: cfg.Schedule.Spread, Log: log,
	})
	log.Info("dewline runs", "version", readBuildInfo().Version, "targets", len(jobs), "data_dir", cfg.DataDir, "influxdb", cfg.InfluxDB != nil)
	if cfg.Backup == nil { // what status shows of earlier ones would seem to be in force
		if err := db.SetBackupState(ctx, nil); err != nil {
			return err
		}
	}
	err = supervise(ctx, c, jobs, db, sink, func(ctx context.Context) error {
		if cfg.Backup != nil {
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { _ = newBackupKeeper(cfg.Backup, db, log).run(ctx) })
		}
		if err := serveControl(ctx, controlSocket(cfg.DataDir), c, log); err != nil {
			log.Error("no control socket: `dewline poll` will open sessions of its own", "err", err)
		}
		return nil
	})
	log.Info("dewline stopped")
	return err
}

// retentionOf is what the store is to drop when.
func retentionOf(cfg *config.Config) sqlite.Retention {
	r := sqlite.Retention{Raw: cfg.Retention.Raw, Rollups: cfg.Retention.Rollups, MaxBytes: cfg.Retention.MaxSize}
	if cfg.InfluxDB != nil {
		r.MaxLag = map[string]time.Duration{influx.DefaultName: cfg.InfluxDB.MaxLag}
	}
	return r
}

// ignoreHangup keeps SIGHUP, which many daemons take for a wish to reload, from ending the daemon, until the returned
// function is called.
func ignoreHangup(log *slog.Logger) (stop func()) {
	hangup := make(chan os.Signal, 1)
	if signal.Ignored(syscall.SIGHUP) {
		return func() {}
	}
	signal.Notify(hangup, syscall.SIGHUP)
	go func() {
		for range hangup {
			log.Warn("SIGHUP: this version does not reload; restart dewline to use a changed configuration")
		}
	}()
	return func() {
		signal.Stop(hangup)
		close(hangup)
	}
}

// supervise runs the collector, the store's own work, the sink and the control socket. When ctx ends the collector stops first: sessions
// are deleted and the last visits recorded; then the sink has deliverGrace for what it has not delivered.
func supervise(ctx context.Context, c *collector.Collector, jobs []collector.Job, db *sqlite.DB, sink *influx.Sink, control func(context.Context) error) error {
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	g, gctx := errgroup.WithContext(ctx)
	var once sync.Once
	finish := func() { once.Do(stopWork) }
	g.Go(func() error {
		defer finish()
		if err := c.Run(gctx, jobs); err != nil {
			return fmt.Errorf("collect: %w", err)
		}
		if sink != nil {
			drain(work, sink, db)
		}
		return nil
	})
	if control != nil {
		g.Go(func() error { return control(gctx) })
	}
	g.Go(func() error {
		if err := db.Run(work); err != nil {
			return fmt.Errorf("maintain the store: %w", err)
		}
		return nil
	})
	if sink != nil {
		g.Go(func() error {
			if err := sink.Run(work); err != nil {
				return fmt.Errorf("deliver to InfluxDB: %w", err)
			}
			return nil
		})
	}
	return g.Wait()
}

// drain waits until the sink has taken everything recorded, deliverGrace at most.
func drain(ctx context.Context, sink *influx.Sink, db *sqlite.DB) {
	ctx, cancel := context.WithTimeout(ctx, deliverGrace)
	defer cancel()
	last, err := db.MaxSeq(ctx)
	if err != nil {
		return // what is not delivered now is delivered at the next start
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for sink.State().Cursor < last {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// openInflux makes the sink of the configuration.
func openInflux(c *config.InfluxDB, follow influx.Log, target func(health.TargetID) (health.Target, bool), log *slog.Logger) (*influx.Sink, error) {
	token, err := c.Token.Resolve()
	if err != nil {
		return nil, fmt.Errorf("token of influxdb: %w", err)
	}
	return influx.New(influx.Options{
		URL: c.URL, Organization: c.Organization, Bucket: c.Bucket, Token: token, Timeout: c.Timeout, Insecure: c.TLS.Insecure, CAFile: c.TLS.CAFile,
		Log: log,
	}, follow, target)
}
