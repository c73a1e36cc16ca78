package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"dewline/collector"
	"dewline/collector/push"
	"dewline/health"
	"dewline/internal/config"
)

// pushProbes are the probes of a configuration.
func pushProbes(cfg *config.Config) []push.Probe {
	var out []push.Probe
	for _, p := range cfg.Probes {
		probe := push.Probe{Target: p.Target}
		for _, s := range p.Sensors {
			probe.Sensors = append(probe.Sensors, push.Sensor(s))
		}
		out = append(out, probe)
	}
	return out
}

// openInput makes the input of the configuration and opens its listener; nil without one.
func (d *service) openInput(ctx context.Context, cfg *config.Config) (*push.Input, net.Listener, error) {
	if cfg.Input == nil {
		return nil, nil, nil
	}
	token, err := cfg.Input.Token.Resolve()
	if err != nil {
		return nil, nil, fmt.Errorf("token of input: %w", err)
	}
	in, err := push.New(push.Options{
		Token: token, Rate: cfg.Input.Rate, MaxAge: func() time.Duration { return d.config().Moisture.MaxAge }, Record: d.db, Log: d.log, Now: time.Now,
		Visit: func(ctx context.Context, t health.Target, known *health.Known, src push.Source, due map[health.Tier]time.Time, at time.Time) error {
			// The sender that goes away takes nothing back of what it sent.
			v, err := d.collector.Visit(context.WithoutCancel(ctx), t, known, src, due, at)
			if err == nil && v.Result != health.Done && v.Result != health.Late {
				err = fmt.Errorf("visit of %s: %s", t.ID, v.Error)
			}
			return err
		}, Version: readBuildInfo().Version,
	}, pushProbes(cfg))
	if err != nil {
		return nil, nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Input.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("input: %w", err)
	}
	if cfg.Input.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.Input.CertFile, cfg.Input.KeyFile)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("input: %w", err), l.Close())
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	return in, l, nil
}

// serveInput serves until ctx ends. What is being recorded then is answered still.
func serveInput(ctx context.Context, in *push.Input, l net.Listener, log *slog.Logger) error {
	srv := &http.Server{
		Handler: in.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 20 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(grace); err != nil {
			_ = srv.Close()
		}
	})
	err := srv.Serve(l)
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// pushed tells the targets whose readings are pushed.
func (d *service) pushed(id health.TargetID) bool {
	return slices.ContainsFunc(d.config().Probes, func(p config.Probe) bool { return p.ID == id })
}

var _ collector.Source = push.Source{}
