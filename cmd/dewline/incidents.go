package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/collector/incident"
	"dewline/health"
	"dewline/internal/config"
	"dewline/store/sqlite"
)

// incidentDoc is one document of `incidents -o json` (docs/SCHEMA.md).
type incidentDoc struct {
	Version int `json:"version"`
	health.Incident
}

// incidentFlags are what `incidents` and `incidents show` have in common.
type incidentFlags struct {
	config, dataDir *string
	output          *format
}

func newIncidentFlags(cmd *cobra.Command) incidentFlags {
	return incidentFlags{configFlag(cmd), cmd.Flags().String("data-dir", "", "read this data_dir, without a configuration"), outputFlag(cmd)}
}

func (f incidentFlags) open(ctx context.Context) (*sqlite.DB, error) {
	dir := *f.dataDir
	if dir == "" {
		cfg, err := loadConfig(*f.config)
		if err != nil {
			return nil, err
		}
		dir = cfg.DataDir
	}
	return openStore(ctx, dir)
}

func (p *program) incidentsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "faults of several targets that belong together: water that spreads, and what looks like it",
		Long: `Incidents lists what happened to neighbouring targets within a short time, newest last: a leak and what it did next door,
condensation, or silence of many at once. It reads the store, also while the daemon runs. Each incident says by which rule and on
what evidence it was found, and what else looks like it (docs/MOISTURE.md). incidents show ID tells one of them in full.`,
		Example: "  dewline incidents\n  dewline incidents --open -o json\n  dewline incidents show 5b1e",
	}
	f := newIncidentFlags(cmd)
	open := cmd.Flags().Bool("open", false, "only those that are not over")
	target := cmd.Flags().String("target", "", "only those that concern this `target`")
	rack := cmd.Flags().String("rack", "", "only those that concern this `rack`")
	since := cmd.Flags().String("since", "", "only those that changed since: a `time` (RFC 3339), or how long ago (\"24h\", \"7d\")")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		choose := health.IncidentFilter{Open: *open, Target: health.TargetID(*target), Rack: *rack}
		if *since != "" {
			t, err := timeOrAge(*since, time.Now())
			if err != nil {
				return usageError("--since %w", err)
			}
			choose.Since = t
		}
		db, err := f.open(cmd.Context())
		if err != nil {
			return err
		}
		defer db.Close()
		found, err := db.Incidents(cmd.Context(), choose)
		if err != nil {
			return err
		}
		if *f.output == "json" {
			return p.incidentDocs(found)
		}
		return p.listIncidents(found)
	}
	cmd.AddCommand(p.incidentCommand())
	return cmd
}

func (p *program) incidentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "one incident in full: its targets, its spread over time, its evidence",
		Long:    "Show tells one incident. The beginning of its ID will do, if no other begins so.",
		Example: "  dewline incidents show 5b1e\n  dewline incidents show 5b1e -o json",
		Args: func(_ *cobra.Command, given []string) error {
			if len(given) != 1 || given[0] == "" {
				return usageError("which incident? `dewline incidents` lists them\nTry 'dewline incidents show --help'.")
			}
			return nil
		},
	}
	f := newIncidentFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		db, err := f.open(cmd.Context())
		if err != nil {
			return err
		}
		defer db.Close()
		found, err := db.Incidents(cmd.Context(), health.IncidentFilter{ID: args[0]})
		if err != nil {
			return err
		}
		switch {
		case len(found) == 0:
			return usageError("the store knows no incident %q: `dewline incidents` lists them", args[0])
		case len(found) > 1 && found[0].ID != args[0]:
			return usageError("%d incidents begin with %q: give more of the ID", len(found), args[0])
		case *f.output == "json":
			return p.incidentDocs(found[:1])
		}
		return p.showIncident(&found[0])
	}
	return cmd
}

// timeOrAge reads a time, or how long before now one was.
func timeOrAge(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := config.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time (2026-11-23T07:00:00Z) nor a duration (24h, 7d)", text)
	}
	return now.Add(-d), nil
}

func (p *program) incidentDocs(found []health.Incident) error {
	enc := json.NewEncoder(p.stdout)
	enc.SetEscapeHTML(false)
	for _, x := range found {
		if err := enc.Encode(incidentDoc{1, x}); err != nil {
			return err
		}
	}
	return nil
}

const shortID = 8

func (p *program) listIncidents(found []health.Incident) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(p.stdout, "no incidents")
		return err
	}
	t := p.newTable("ID", "STATE", "SEVERITY", "CAUSE", "OPENED", "TARGETS", "SUMMARY")
	for _, x := range found {
		t.row(x.ID[:min(shortID, len(x.ID))], string(x.State), x.Severity.String(), string(x.Cause)+originMark(x.Origin), toSecond(formatTime(x.Opened)),
			fmt.Sprint(len(x.Targets)), x.Summary)
	}
	return t.flush()
}

func originMark(o health.Origin) string {
	if o == health.OriginReal {
		return ""
	}
	return " (" + string(o) + ")"
}

// signLetters draw the spread.
var signLetters = map[health.IncidentSign]byte{
	health.SignLeak: 'L', health.SignMoisture: 'M', health.SignElectrical: 'E', health.SignPower: 'P', health.SignIntrusion: 'I', health.SignSilence: 'S',
}

func (p *program) showIncident(x *health.Incident) error {
	out := p.stdout
	fmt.Fprintf(out, "incident %s%s: %s, %s\n", x.ID, originMark(x.Origin), x.State, x.Severity)
	fmt.Fprintf(out, "%s\n\n%s\n", printable(x.Summary), printable(x.Explanation))
	for i, a := range x.Alternatives {
		if i == 0 {
			fmt.Fprintln(out, "What else looks like this:")
		}
		fmt.Fprintf(out, "  - %s\n", printable(a))
	}
	fmt.Fprintf(out, "\nopened %s  found %s  changed %s", toSecond(formatTime(x.Opened)), toSecond(formatTime(x.Found)), toSecond(formatTime(x.Changed)))
	if !x.Closed.IsZero() {
		fmt.Fprintf(out, "  over %s", toSecond(formatTime(x.Closed)))
	}
	fmt.Fprint(out, "\n\n")
	t := p.newTable("TARGET", "RACK", "U", "AFTER", "FIRST SIGN", "OPEN", "SPREAD "+x.Changed.Sub(x.Opened).Round(time.Second).String())
	for _, r := range x.Targets {
		u := ""
		if r.Position > 0 {
			u = fmt.Sprint(r.Position)
		}
		t.row(string(r.Target), r.Rack, u, "+"+r.First.Sub(x.Opened).Round(time.Second).String(), string(r.Kind), fmt.Sprint(r.Open), spread(x, r.Target))
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprint(out, "L leak, M moisture, E electrical, P power, I intrusion, S silence; - still so, . nothing yet\n\n")
	t = p.newTable("AT", "TARGET", "COMPONENT", "KIND", "SEVERITY", "ENDED", "MESSAGE")
	for _, v := range x.Evidence {
		ended := toSecond(formatTime(v.Ended))
		if v.Fault == "" {
			ended = "momentary"
		}
		t.row(toSecond(formatTime(v.At)), string(v.Target), string(v.Component), string(v.Kind), v.Severity.String(), ended, v.Message)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if more := x.Signs - len(x.Evidence); more > 0 {
		fmt.Fprintf(out, "and %s\n", count(more, "further sign"))
	}
	return nil
}

// spread draws when a target's signs came, over the whole incident: a letter where one came, the gravest of its moment.
func spread(x *health.Incident, id health.TargetID) string {
	const width = 30
	span := max(x.Changed.Sub(x.Opened), time.Second)
	column := func(t time.Time) int {
		return min(width-1, max(0, int(int64(width)*int64(t.Sub(x.Opened))/int64(span))))
	}
	line := []byte(strings.Repeat(".", width))
	signs := slices.Clone(x.Evidence)
	signs = slices.DeleteFunc(signs, func(v health.IncidentEvidence) bool { return v.Target != id })
	for _, v := range signs {
		if v.Fault == "" {
			continue
		}
		to := width - 1
		if !v.Ended.IsZero() {
			to = column(v.Ended)
		}
		for i := column(v.At); i <= to; i++ {
			line[i] = '-'
		}
	}
	gravest := "LMEPIS"
	for _, v := range signs {
		letter := cmp.Or(signLetters[v.Sign], '?')
		if at := &line[column(v.At)]; *at == '-' || *at == '.' || strings.IndexByte(gravest, letter) < strings.IndexByte(gravest, *at) {
			*at = letter
		}
	}
	return string(line)
}

// followIncidents is what finds incidents in what a store records.
func followIncidents(db *sqlite.DB, c config.Incidents, fleet func() []health.Target, log *slog.Logger) *incident.Follower {
	return &incident.Follower{
		Store: db, Fleet: fleet, Log: log, Now: time.Now,
		Options: incident.Options{Window: c.Window, Quiet: c.Quiet, Site: c.Scope == "site", Adjacent: c.Adjacent},
	}
}

// fleet is the targets as they are configured now.
func (d *service) fleet() []health.Target {
	cfg := d.config()
	out := make([]health.Target, len(cfg.Targets))
	for i := range cfg.Targets {
		out[i] = cfg.Targets[i].Target
	}
	return out
}
