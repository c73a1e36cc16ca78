package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/config"
	"dewline/internal/quirk"
)

// quirkTables are the drivers' own rows.
func quirkTables() map[string]quirk.Table {
	return map[string]quirk.Table{health.DriverRedfish: redfish.Quirks(), health.DriverIPMI: ipmi.Quirks()}
}

// readConfig is config.Load, with the names of quirks compared to the drivers' tables, which config does not know.
func readConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, err
	}
	known := map[string][]string{}
	for driver, t := range quirkTables() {
		known[driver] = t.Names()
	}
	if unknown := cfg.QuirkFaults(known); len(unknown) > 0 {
		return nil, unknown
	}
	return cfg, nil
}

// quirkDoc is one line of `quirks -o json` (docs/SCHEMA.md).
type quirkDoc struct {
	Version    int            `json:"version"`
	Driver     string         `json:"driver"`
	Name       string         `json:"name"`
	Vendor     string         `json:"vendor,omitempty"`
	Product    string         `json:"product,omitempty"`
	Firmware   string         `json:"firmware,omitempty"`
	Effects    []quirk.Effect `json:"effects"`
	Deny       string         `json:"deny,omitempty"`
	What       string         `json:"what"`
	Source     string         `json:"source"`
	Configured bool           `json:"configured"` // a [[quirk]] of the configuration
}

func (p *program) quirksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quirks",
		Short: "what dewline does about firmware that has its own ways",
		Long: `Quirks lists what dewline knows of firmware that does things its own way, and what it does about it; with -c also the
[[quirk]] tables of a configuration. Rows that change something for the machines they name can be switched off for a
target ([target.redfish] quirks_off); rows marked "always" are how every machine is read.

Effects for a [[quirk]] of your own:
` + explained(),
		Example: "  dewline quirks\n  dewline quirks -c dewline.toml -o json",
	}
	configPath := cmd.Flags().StringP("config", "c", "", "also the rows of this configuration `file`")
	output := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error { return p.quirks(*configPath, *output) }
	return cmd
}

// explained is a line for each effect.
func explained() string {
	var b strings.Builder
	for _, driver := range []string{health.DriverRedfish, health.DriverIPMI} {
		for _, e := range quirk.Effects(driver) {
			fmt.Fprintf(&b, "  %-8s %-17s %s\n", driver, e, e.Does())
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func (p *program) quirks(path string, output format) error {
	tables := quirkTables()
	own := map[string]int{}
	for driver, t := range tables {
		own[driver] = len(t)
	}
	if path != "" {
		cfg, err := loadConfig(path)
		if err != nil {
			return err
		}
		for driver, rows := range cfg.Quirks {
			tables[driver] = slices.Concat(tables[driver], rows)
		}
	}
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	t := p.newTable("DRIVER", "NAME", "FOR", "DOES", "WHY")
	for _, driver := range slices.Backward(slices.Sorted(maps.Keys(tables))) {
		for i, q := range tables[driver] {
			d := quirkDoc{
				Version: 1, Driver: driver, Name: q.Name, Firmware: q.Firmware.String(), Effects: append([]quirk.Effect{}, q.Effects...),
				What: q.What, Source: q.Source, Configured: i >= own[driver],
			}
			for _, x := range []struct {
				re *regexp.Regexp
				to *string
			}{{q.Vendor, &d.Vendor}, {q.Product, &d.Product}, {q.Deny, &d.Deny}} {
				if x.re != nil {
					*x.to = strings.TrimPrefix(x.re.String(), "(?i)")
				}
			}
			if output == "json" {
				if err := enc.Encode(d); err != nil {
					return err
				}
				continue
			}
			t.row(driver, d.Name, d.about(), d.does(), d.What)
		}
	}
	return t.flush()
}

// about is which machines a row names.
func (d *quirkDoc) about() string {
	var l []string
	for _, s := range []string{d.Vendor, d.Product, d.Firmware} {
		if s != "" {
			l = append(l, s)
		}
	}
	if len(l) == 0 {
		return "all"
	}
	return strings.Join(l, ", ")
}

// does is what a row changes.
func (d *quirkDoc) does() string {
	var l []string
	for _, e := range d.Effects {
		l = append(l, string(e))
	}
	if d.Deny != "" {
		l = append(l, "deny "+d.Deny)
	}
	if len(l) == 0 {
		return "always"
	}
	return strings.Join(l, ", ")
}
