package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"dewline/health"
)

// AdHoc completes a target made of command-line flags: name, address, driver, credential and TLS are the caller's, the
// rest is as a [[target]] of a configuration has it by default. It is judged by the same rules; the error is Faults whose
// keys are the flags. A relative CA file belongs to the working directory.
func AdHoc(given Target) (*Target, error) {
	cfg, def, _, _ := defaults()
	var faults Faults
	refuse := func(flag, message, hint string) {
		faults = append(faults, Fault{Key: flag, Message: message, Hint: hint})
	}

	t := *def
	t.CipherSuites = slices.Clone(def.CipherSuites)
	t.Schedule = maps.Clone(cfg.Schedule.Tiers)
	t.ID, t.Origin, t.Credential, t.TLS = given.ID, given.Origin, given.Credential, given.TLS
	switch given.Driver {
	case "":
	case health.DriverAuto, health.DriverRedfish, health.DriverIPMI:
		t.Driver = given.Driver
	default:
		drivers := []string{health.DriverAuto, health.DriverRedfish, health.DriverIPMI}
		refuse("--driver", quote(given.Driver)+" is no driver", didYouMean(given.Driver, drivers))
	}
	a, message, hint := parseAddress(given.Address)
	if message != "" {
		refuse("--address", message, hint)
	}
	t.Address = a.text
	if a.driver != health.DriverAuto {
		if t.Driver != health.DriverAuto && t.Driver != a.driver {
			refuse("--driver", fmt.Sprintf("the scheme of the address means %s, not %s", a.driver, t.Driver), "leave --driver out")
		}
		t.Driver = a.driver
	}
	if given.Credential.Username == "" && !given.Credential.Password.IsZero() {
		refuse("--username", "a password needs a user name", "")
	}
	if n := len(given.Credential.Username); t.Driver == health.DriverIPMI && n > 16 {
		refuse("--username", fmt.Sprintf("the user name has %d bytes: IPMI knows 16", n), "")
	}
	ways := 0
	if given.TLS.CAFile != "" {
		ways++
		file, err := filepath.Abs(given.TLS.CAFile)
		if err != nil {
			refuse("--ca-file", err.Error(), "")
		} else if message := caProblem(file); message != "" {
			refuse("--ca-file", message, "")
		}
		t.TLS.CAFile = file
	}
	if given.TLS.Fingerprint != "" {
		ways++
		print, message, hint := parseFingerprint(given.TLS.Fingerprint)
		if message != "" {
			refuse("--fingerprint", message, hint)
		}
		t.TLS.Fingerprint = print
	}
	if given.TLS.Insecure {
		ways++
	}
	if ways > 1 {
		refuse("--insecure", "--ca-file, --fingerprint and --insecure exclude each other", "keep one")
	}
	if len(faults) > 0 {
		return nil, faults
	}
	return &t, nil
}
