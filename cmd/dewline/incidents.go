package main

import (
	"cmp"
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

func (p *program) incidentsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incidents",
		Short: "faults of several targets that belong together: water that spreads, and what looks like it",
		Long: `Incidents lists what happened to neighbouring targets within a short time, newest last: a leak and what it did next door,
condensation, or silence of many at once. It reads the store, also while the daemon runs. Each incident says by which rule and on
what evidence it was found, and what else looks like it (docs/MOISTURE.md). incidents show ID tells one of them in full.

An incident is listed if one of its targets is where the filters say, and a piece of its evidence of that class and kind; --severity is
that of the incident. --since goes by when it changed last, --until by when it opened. --follow tells those that are open, or that
changed since --since, and then, until Ctrl-C, an incident again whenever its state, cause, severity or number of targets changes. --fail-on exits with 4 if one of those listed is open
and at least that grave.`,
		Example: `  dewline incidents
  dewline incidents --open --rack A1 -o json
  dewline incidents --follow
  dewline incidents --fail-on critical || page-someone
  dewline incidents show 5b1e`,
		Args: cobra.NoArgs,
	}
	store, match, span := newStoreFlags(cmd), newMatchFlags(cmd), newSpanFlags(cmd, "")
	open := cmd.Flags().Bool("open", false, "only those that are not over")
	fail := failOnFlag(cmd, "one of these is open that is")
	follow := followFlag(cmd)
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m, err := match.matcher()
		if err != nil {
			return err
		}
		l := &incidentLister{p: p, match: m, choose: health.IncidentFilter{Open: *open}, json: *output == "json"}
		if l.choose.Since, l.choose.Until, err = span.span(time.Now()); err != nil {
			return err
		}
		if err := followAlone(*follow, *fail, l.choose.Until); err != nil {
			return err
		}
		least, err := failOn(*fail)
		if err != nil {
			return err
		}
		if l.db, err = store.open(cmd.Context()); err != nil {
			return err
		}
		defer l.db.Close()
		places, err := l.db.Places(cmd.Context())
		if err != nil {
			return err
		}
		if err := known(&m, places); err != nil {
			return err
		}
		if *follow {
			return l.follow(cmd.Context())
		}
		found, err := l.find(cmd.Context())
		if err != nil {
			return err
		}
		if l.json {
			err = p.incidentDocs(found)
		} else {
			err = p.listIncidents(found)
		}
		if err != nil {
			return err
		}
		return failOnIncidents(found, least)
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
	store, output := newStoreFlags(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		db, err := store.open(cmd.Context())
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
		case *output == "json":
			return p.incidentDocs(found[:1])
		}
		return p.showIncident(&found[0])
	}
	return cmd
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
