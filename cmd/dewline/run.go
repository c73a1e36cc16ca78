package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"dewline/collector"
	"dewline/drivers/redfish"
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
one is configured. SIGTERM or Ctrl-C ends it clean: sessions on the BMCs are deleted and all that was read is on disk.
SIGHUP, or dewline reload, makes it read its configuration again. Under systemd it speaks sd_notify, watchdog included.`,
		Example: "  dewline run -c /etc/dewline/dewline.toml",
	}
	configPath := configFlag(cmd)
	debug := cmd.Flags().String("debug-listen", "", "`address` on loopback for profiles, runtime metrics and dewline's own numbers, for example 127.0.0.1:6060")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := config.Find(*configPath)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		cfg, err := loadConfig(path)
		if err != nil {
			return err
		}
		if len(cfg.Targets)+len(cfg.Probes) == 0 {
			return usageError("the configuration has no [[target]]: there is nothing to read")
		}
		return p.run(cmd.Context(), path, cfg, *debug)
	}
	return cmd
}

// newLogger is the daemon's log, on standard error, and its level, which a reload can set.
func (p *program) newLogger(c config.Log) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(c.Level)
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(p.stderr, o)), level
	}
	return slog.New(slog.NewTextHandler(p.stderr, o)), level
}

// deliverGrace is how long a stopping daemon still delivers what is on disk; the rest is delivered at the next start.
const deliverGrace = 5 * time.Second

func (p *program) run(ctx context.Context, path string, cfg *config.Config, debug string) error {
	hup := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // by nohup(1)
		signal.Notify(hup, syscall.SIGHUP) // from now on: a reload that comes early waits, and kills nobody
	}
	defer signal.Stop(hup)
	signal.Ignore(syscall.SIGXFSZ) // a limit on the size of files is then a write that fails, as on a full disk
	log, level := p.newLogger(cfg.Log)
	for _, w := range cfg.Warnings {
		log.Warn(w.Message, "key", w.Key, "line", w.Line, "hint", w.Hint)
	}
	if cfg.Backup == nil {
		log.Warn(noBackup, "hint", noBackupHint)
	}
	d, err := newService(path, cfg, log, level)
	if err != nil {
		return err
	}
	d.systemd = newNotifier(p.getenv, log)
	var debugListener net.Listener
	if debug != "" {
		if debugListener, err = listenDebug(ctx, debug); err != nil {
			return err
		}
		defer debugListener.Close()
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
	d.db = db
	statuses, err := db.Statuses(ctx)
	if err != nil {
		return err
	}
	for _, s := range statuses { // as of the start: an update since then is noticed by comparison
		d.firmware[s.Target] = s.Identity.BMCFirmware
	}
	if cfg.InfluxDB != nil {
		sink, err := openInflux(cfg.InfluxDB, db, d.health, log)
		if err != nil {
			return err
		}
		d.delivery = newDelivery(sink)
	}
	if err := restoreAir(ctx, db, d.rooms, cfg.Moisture.MaxAge, time.Now()); err != nil {
		return err
	}
	d.collector = collector.New(collector.Options{
		Open: d.open, Recorder: db, Slots: cfg.Collector.Slots, Deadline: cfg.Collector.Deadlines, Spread: cfg.Schedule.Spread, Log: log,
		Air: d.air, OnVisit: d.visited, Elsewhere: d.pushed,
	})
	input, inputListener, err := d.openInput(ctx, cfg)
	if err != nil {
		return err
	}
	d.input = input
	told, err := newReceivers(&cfg.Notify, d.digest)
	if err != nil {
		return err
	}
	d.told = told.digest
	if d.crier, err = newCrier(ctx, db, told, d.working, log); err != nil {
		return err
	}
	jobs, secrets := d.jobs(cfg)
	d.secrets = secrets
	d.denials = &denialKeeper{dataDir: cfg.DataDir, target: d.target, log: log}
	if err := recallDenials(cfg, jobs); err != nil {
		log.Warn("logins that commands were denied are not known", "err", err)
	} else if ds, err := readDenials(cfg.DataDir); err == nil {
		d.denials.list(ds)
	}
	defer d.denials.flush()
	control, err := listenControl(ctx, controlSocket(cfg.DataDir), log)
	if err != nil {
		log.Error("no control socket: `dewline poll` will open sessions of its own, and only SIGHUP reloads", "err", err)
	}
	log.Info("dewline runs", "version", readBuildInfo().Version, "targets", len(jobs), "data_dir", cfg.DataDir, "influxdb", cfg.InfluxDB != nil)
	beside := []func(context.Context) error{
		func(ctx context.Context) error { d.hangUp(ctx, hup); return nil },
		func(ctx context.Context) error { d.renew(ctx); return nil },
		d.denials.run,
		func(ctx context.Context) error {
			redfish.EndKept(ctx, sessionsDir(cfg.DataDir), d.readsByRedfish, log)
			return nil
		},
		func(ctx context.Context) error { d.systemd.watch(ctx, d.status, d.progress); return nil },
		followIncidents(db, cfg.Incidents, d.fleet, log).Run,
		d.crier.Run,
		(&verificationKeeper{db, log, cfg.InfluxDB, cmp.Or(p.renewFirst, renewAfter)}).run,
	}
	if cfg.Backup == nil { // what status shows of earlier ones would seem to be in force
		if err := db.SetBackupState(ctx, nil); err != nil {
			return err
		}
	} else {
		beside = append(beside, func(ctx context.Context) error { return newBackupKeeper(cfg.Backup, db, log).run(ctx) })
	}
	if control != nil {
		beside = append(beside, func(ctx context.Context) error {
			if err := serveControl(ctx, control, d); err != nil {
				log.Error("the control socket is gone: `dewline poll` will open sessions of its own, and only SIGHUP reloads", "err", err)
			}
			return nil
		})
	}
	if input != nil {
		log.Info("probes may push their readings", "address", inputListener.Addr().String(), "probes", len(cfg.Probes))
		beside = append(beside,
			func(ctx context.Context) error { input.Run(ctx); return nil },
			func(ctx context.Context) error {
				if err := serveInput(ctx, input, inputListener, log); err != nil {
					return fmt.Errorf("input: %w", err)
				}
				return nil
			})
	}
	if debugListener != nil {
		log.Info("profiles and numbers", "address", "http://"+debugListener.Addr().String()+"/debug/dewline")
		beside = append(beside, func(ctx context.Context) error {
			return serveDebug(ctx, debugListener, debugHandler(d.debugState), log)
		})
	}
	d.systemd.ready(fmt.Sprintf("%d targets", len(jobs)))
	stopping := context.AfterFunc(ctx, d.systemd.stopping)
	defer stopping()
	err = supervise(ctx, d.collector, jobs, db, d.delivery, beside...)
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

// supervise runs the collector, the store's own work, the sink, and what stands beside them until ctx ends. When it does the
// collector stops first: sessions are deleted and the last visits recorded; then the sink has deliverGrace for what it has
// not delivered.
func supervise(ctx context.Context, c *collector.Collector, jobs []collector.Job, db *sqlite.DB, sink *delivery, beside ...func(context.Context) error) error {
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
	for _, do := range beside {
		g.Go(func() error { return do(gctx) })
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
func drain(ctx context.Context, sink *delivery, db *sqlite.DB) {
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
	o, err := influxOptions(c, log)
	if err != nil {
		return nil, err
	}
	return influx.New(o, follow, target)
}

// influxOptions is how the configuration says that InfluxDB is reached.
func influxOptions(c *config.InfluxDB, log *slog.Logger) (influx.Options, error) {
	token, err := c.Token.Resolve()
	if err != nil {
		return influx.Options{}, fmt.Errorf("token of influxdb: %w", err)
	}
	return influx.Options{
		URL: c.URL, Organization: c.Organization, Bucket: c.Bucket, Token: token, Timeout: c.Timeout, Insecure: c.TLS.Insecure, CAFile: c.TLS.CAFile,
		Log: log,
	}, nil
}
