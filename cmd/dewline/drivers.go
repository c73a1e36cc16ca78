package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/config"
)

// drivers is the table of drivers: how each is opened for a configured target. Opening does no I/O.
// Sessions is the folder where a Redfish session is written down, "" for nowhere.
var drivers = map[string]func(t *config.Target, sessions string, log *slog.Logger) (collector.Source, error){
	health.DriverRedfish: openRedfish,
	health.DriverIPMI:    openIPMI,
}

func openRedfish(t *config.Target, sessions string, log *slog.Logger) (collector.Source, error) {
	o, err := redfishOptions(t, log)
	if err != nil {
		return nil, err
	}
	o.KeepDir = sessions
	return redfish.Open(t.ID, o)
}

func redfishOptions(t *config.Target, log *slog.Logger) (redfish.Options, error) {
	password, err := t.Credential.Password.Resolve()
	if err != nil {
		return redfish.Options{}, fmt.Errorf("password of target %s: %w", t.ID, err)
	}
	address := t.Address
	if !strings.Contains(address, "://") {
		address = "https://" + hostPort(address)
	}
	return redfish.Options{
		Address: address, Username: t.Credential.Username, Password: password, Auth: t.Auth,
		TLS: redfish.TLS{CAFile: t.TLS.CAFile, Fingerprint: t.TLS.Fingerprint, Insecure: t.TLS.Insecure},
		Log: log, UserAgent: "dewline/" + readBuildInfo().Version,
		Quirks: t.Quirks[health.DriverRedfish], QuirksOff: t.QuirksOff[health.DriverRedfish],
	}, nil
}

func openIPMI(t *config.Target, _ string, log *slog.Logger) (collector.Source, error) {
	o, err := ipmiOptions(t, log)
	if err != nil {
		return nil, err
	}
	return ipmi.Open(t.ID, o)
}

func ipmiOptions(t *config.Target, log *slog.Logger) (ipmi.Options, error) {
	password, err := t.Credential.Password.Resolve()
	if err != nil {
		return ipmi.Options{}, fmt.Errorf("password of target %s: %w", t.ID, err)
	}
	address := t.Address
	if !strings.Contains(address, "://") {
		// The port of a bare HOST:PORT is the HTTPS one; IPMI keeps its own.
		host := address
		if u, err := url.Parse("//" + hostPort(address)); err == nil {
			host = u.Hostname()
		}
		address = "ipmi://" + hostPort(host)
	}
	return ipmi.Options{
		Address: address, Username: t.Credential.Username, Password: password, Privilege: t.Privilege,
		CipherSuites: t.CipherSuites, Leaks: leakProfiles(t.LeakSensors), Log: log, Quirks: t.Quirks[health.DriverIPMI], QuirksOff: t.QuirksOff[health.DriverIPMI],
	}, nil
}

// hostPort puts a bare IPv6 address into brackets, as URLs need it.
func hostPort(s string) string {
	if ip := net.ParseIP(s); ip != nil && ip.To4() == nil {
		return "[" + s + "]"
	}
	return s
}

// openTarget opens the driver of a target; drivers name the target in the log themselves. Chosen and firmware are what driver auto needs to know: see newAuto.
func openTarget(t *config.Target, chosen, firmware, sessions string, log *slog.Logger) (collector.Source, error) {
	if file, recorded := strings.CutPrefix(t.Address, config.ReplayScheme); recorded {
		return openReplayTarget(t, file, log)
	}
	if t.Driver != health.DriverAuto {
		return drivers[t.Driver](t, sessions, log)
	}
	return newAuto(chosen, firmware, log.With("target", t.ID), func(driver string) (collector.Source, error) { return drivers[driver](t, sessions, log) })
}
