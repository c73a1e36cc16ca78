package main

import (
	"context"
	"fmt"
	"io"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dewline/collector/moisture"
	"dewline/collector/push"
	"dewline/health"
	"dewline/internal/config"
	"dewline/report"
	"dewline/report/capacity"
	"dewline/report/evidence"
)

type capacityOptions struct {
	config, dataDir, out, lang, key, title, reference, by, generated string
	source                                                           string
	since, until                                                     string
	targets, racks, sites, labels, adds, removes                     []string
	zip, raw                                                         bool
}

func (p *program) capacityCommand() *cobra.Command {
	o := &capacityOptions{}
	cmd := &cobra.Command{
		Use:   "capacity",
		Short: "what to buy or retire: power, cooling, disks, reliability, forecast and resilience, as they were measured",
		Long: `Capacity reviews what the BMCs measured over a time: the power of servers, racks, feeds and sites against their budgets, what more servers
would draw, air and fans, the wear of disks, what is installed and how old it is, how often things fail, when budgets are reached, and what the loss of
a rack or room would take away. Its first line says what to buy or retire, the figures that rests on, and what could not be seen.

Budgets, the map of power supplies to feeds, and dates of installation and warranty come from the configuration ([[site]], [[rack]], [[feed]],
installed, warranty_until): docs/CAPACITY.md. It writes a folder with the report (HTML, PDF, JSON, CSV), the data it rests on, and a signed list
of sums that 'dewline report verify' checks.`,
		Example: `  dewline report capacity --since 90d --out ./capacity
  dewline report capacity --since 90d --rack A1 --add "4 x db" --remove "2 x web" --out ./plan
  dewline report capacity --since 2026-01-01T00:00:00Z --label owner=diskominfo --lang id --out ./kapasitas`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", "", "configuration `file` (default ./dewline.toml, then /etc/dewline/dewline.toml)")
	f.StringVar(&o.dataDir, "data-dir", "", "read this data_dir, without a configuration: then there are no budgets and no dates")
	f.StringVar(&o.since, "since", "90d", "the window begins then: how long ago (90d), or a `time`")
	f.StringVar(&o.until, "until", "", "it ends then: a `time` (default: now)")
	f.StringArrayVar(&o.targets, "target", nil, "only this `server`; may be repeated")
	f.StringArrayVar(&o.racks, "rack", nil, "only servers of this `rack`; may be repeated")
	f.StringArrayVar(&o.sites, "site", nil, "only servers of this `site`; may be repeated")
	f.StringArrayVar(&o.labels, "label", nil, "only servers with this label, as `name=value`; may be repeated")
	f.StringArrayVar(&o.adds, "add", nil, "what if: `\"4 x db\"` are four more servers that draw what db did (a server, db-1, db-2 and so on, or a model); \"4 x db in A2\" names the rack")
	f.StringArrayVar(&o.removes, "remove", nil, "what if: `\"2 x web\"` are two fewer")
	f.StringVar(&o.source, "source", sourceStore, "where data is from: store, or influxdb (that of the configuration; it knows no inventory): `which`")
	_ = cmd.RegisterFlagCompletionFunc("source", cobra.FixedCompletions([]string{sourceStore, sourceInflux}, cobra.ShellCompDirectiveNoFileComp))
	f.StringVar(&o.title, "title", "", "`title` of the report")
	f.StringVar(&o.reference, "reference", "", "your `reference` number")
	f.StringVar(&o.by, "by", "", "who makes the report (default: the user's name)")
	f.StringVar(&o.lang, "lang", report.Reference, "language of the report: "+strings.Join(report.Languages(), ", "))
	f.StringVar(&o.out, "out", "", "`folder` to write to; it must not exist, or be empty")
	f.StringVar(&o.key, "key", "", "signing key `file` (default: report.key in data_dir, made at first use)")
	f.StringVar(&o.generated, "generated-at", "", "the report's own `time` (default: now); the same input gives the same bytes")
	f.BoolVar(&o.zip, "zip", true, "also write the folder as FOLDER.zip")
	f.BoolVar(&o.raw, "raw", false, "put every five-minute step of every server into the evidence")
	_ = cmd.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions(report.Languages(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("target", completeTargets)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return ofDamaged(p.capacity(cmd.Context(), o)) }
	return cmd
}

// request is what the flags say of the review; servers and budgets are not in it yet.
func (o *capacityOptions) request(now time.Time) (*capacity.Request, error) {
	q := &capacity.Request{Title: o.title, Reference: o.reference, GeneratedAt: now, MadeBy: o.by, Program: readBuildInfo().Version}
	var err error
	if o.generated != "" {
		if q.GeneratedAt, err = timeOf("generated-at", o.generated); err != nil {
			return nil, err
		}
	}
	q.Until = q.GeneratedAt
	if o.until != "" {
		if q.Until, err = parseWhen(o.until, q.GeneratedAt); err != nil {
			return nil, usageError("--until: %w", err)
		}
	}
	if q.Until.After(q.GeneratedAt) {
		return nil, usageError("--until %s lies after the report, %s", o.until, q.GeneratedAt.Format(time.RFC3339))
	}
	if q.From, err = parseWhen(o.since, q.Until); err != nil {
		return nil, usageError("--since: %w", err)
	}
	q.From, q.Until = q.From.UTC().Truncate(health.AlignStep), q.Until.UTC().Truncate(health.AlignStep)
	if q.From.IsZero() || !q.From.Before(q.Until) {
		return nil, usageError("--since %s is not before the end of the window, %s", o.since, q.Until.Format(time.RFC3339))
	}
	if q.MadeBy == "" {
		if u, err := user.Current(); err == nil {
			q.MadeBy = u.Username
		}
	}
	q.Air = airOf(config.Default().Moisture)
	return q, nil
}

// airOf is what air is held against.
func airOf(m config.Moisture) capacity.Air {
	clean := m.Corrosion == "G1"
	a := capacity.Air{Edition: moisture.Edition, Class: m.Class}
	if l, ok := moisture.LimitsOf("recommended", clean); ok {
		a.Recommended = capacity.Envelope(l)
	}
	if l, ok := moisture.LimitsOf(m.Class, clean); ok {
		a.Allowable, a.HasAllowable = capacity.Envelope(l), true
	}
	return a
}

// planOf puts what the configuration knows into the request: budgets, dates, the class of the air.
func planOf(cfg *config.Config, q *capacity.Request) {
	q.Air = airOf(cfg.Moisture)
	q.Assets = map[health.TargetID]capacity.Asset{}
	for _, t := range cfg.Targets {
		q.Assets[t.ID] = capacity.Asset{Installed: t.Installed, WarrantyUntil: t.WarrantyUntil}
	}
	budget := func(name, site string, s config.Supply) capacity.Budget {
		sum := fmt.Sprintf("%g A × %g V × %g", s.Amps, s.Volts, s.Derating)
		if s.Phases == 3 {
			sum += " × √3"
		}
		return capacity.Budget{Name: name, Site: site, VoltAmperes: s.VoltAmperes(), PowerFactor: s.PowerFactor, Sum: sum}
	}
	for _, b := range cfg.SiteBudgets {
		q.Sites = append(q.Sites, budget(b.Name, "", b.Supply))
	}
	for _, b := range cfg.RackBudgets {
		q.Racks = append(q.Racks, budget(b.Name, b.Site, b.Supply))
	}
	for _, x := range cfg.Feeds {
		serves := func(t health.Target) bool {
			return (x.Site == "" || t.Site == x.Site) && (len(x.Racks) == 0 || slices.Contains(x.Racks, t.Rack)) && (len(x.Targets) == 0 || slices.Contains(x.Targets, t.ID))
		}
		q.Feeds = append(q.Feeds, capacity.Feed{
			Budget: budget(x.Name, x.Site, x.Supply), Partner: x.Partner, Serves: serves,
			Feeds: func(t health.Target, psu health.ComponentID, name string) bool {
				return serves(t) && x.FeedsPSU(string(psu), name)
			},
		})
	}
}

func (p *program) capacity(ctx context.Context, o *capacityOptions) error {
	if o.out == "" {
		return usageError("--out is missing: the folder to write to")
	}
	if o.config != "" && o.dataDir != "" {
		return usageError("--config and --data-dir: give one; with --data-dir no configuration is read, and there would be no budgets and no dates")
	}
	texts, err := report.TextsIn(o.lang)
	if err != nil {
		return usageError("--lang: %w", err)
	}
	q, err := o.request(time.Now().Truncate(time.Second))
	if err != nil {
		return err
	}
	dir := o.dataDir
	var cfg *config.Config
	if dir == "" {
		if cfg, q.ConfigSum, err = reportConfig(o.config); err != nil {
			return err
		}
		dir = cfg.DataDir
		planOf(cfg, q)
	}
	r, end, err := o.reader(ctx, dir, cfg)
	if err != nil {
		return err
	}
	defer end()
	if err := o.choose(ctx, r, cfg, q); err != nil {
		return err
	}
	var rep *capacity.Report
	if err := writeReport(o.out, func(tmp string) error {
		key := func(simulated bool) (evidence.Key, error) { return p.reportKey(o.key, dir, simulated) }
		rep, err = writeCapacity(ctx, tmp, r, *q, texts, key, o.raw)
		return err
	}); err != nil {
		return err
	}
	if o.zip {
		if err := writeWhole(filepath.Clean(o.out)+".zip", func(w io.Writer) error { return evidence.Zip(w, o.out, q.GeneratedAt) }); err != nil {
			return err
		}
	}
	return p.sayCapacity(rep, texts, o.out)
}

// reader opens what the review is made of.
func (o *capacityOptions) reader(ctx context.Context, dir string, cfg *config.Config) (report.FleetReader, func(), error) {
	switch o.source {
	case sourceStore:
		db, err := openStore(ctx, dir)
		if err != nil {
			return nil, nil, err
		}
		return storeReader{db}, func() { db.Close() }, nil
	case sourceInflux:
		if cfg == nil || cfg.InfluxDB == nil {
			return nil, nil, usageError("--source influxdb: there is no [influxdb] in a configuration: give it as --config, without --data-dir")
		}
		r, err := openInfluxReader(cfg.InfluxDB)
		if err != nil {
			return nil, nil, err
		}
		return &influxFleet{Reader: r}, r.Close, nil
	}
	return nil, nil, usageError("--source %q is none: it is store or influxdb", o.source)
}

// writeCapacity builds the review and fills a folder with it, with its evidence and their seal.
func writeCapacity(ctx context.Context, dir string, r report.FleetReader, q capacity.Request, texts *report.Texts, key func(simulated bool) (evidence.Key, error), raw bool) (*capacity.Report, error) {
	kept := &keptDays{FleetReader: r, raw: raw, days: raw || len(q.Targets) <= mostKept}
	rep, err := kept.build(ctx, dir, q)
	if err != nil {
		return nil, err
	}
	if err := reportFiles(dir, rep.Document(texts), rep); err != nil {
		return nil, err
	}
	if err := capacityEvidence(ctx, dir, r, &q, rep); err != nil {
		return nil, err
	}
	k, err := key(rep.Simulated)
	if err != nil {
		return nil, err
	}
	comment := fmt.Sprintf("dewline capacity review, %s to %s, %s, made %s", rep.From.Format(time.RFC3339), rep.Until.Format(time.RFC3339), plural(len(rep.Servers), "server"), rep.GeneratedAt.Format(time.RFC3339))
	if rep.Simulated {
		comment = "SIMULATED " + comment
	}
	return rep, evidence.Seal(dir, k, comment)
}

// choose settles which servers are reviewed, and what is changed in thought.
func (o *capacityOptions) choose(ctx context.Context, r report.FleetReader, cfg *config.Config, q *capacity.Request) error {
	all, err := r.Targets(ctx)
	if err != nil {
		return err
	}
	configured := map[health.TargetID]*config.Target{}
	if cfg != nil {
		for i := range cfg.Targets {
			configured[cfg.Targets[i].ID] = &cfg.Targets[i]
		}
	}
	m, err := matchFlags{&o.targets, &o.racks, &o.sites, &o.labels, new([]string), new([]string), new(string)}.matcher()
	if err != nil {
		return err
	}
	places := map[health.TargetID]health.Target{}
	var servers []health.Target
	for _, t := range all {
		if t.Driver == push.Driver { // a probe is no server
			continue
		}
		c := configured[t.ID]
		if c != nil { // where it stands now
			t.Site, t.Rack, t.Position, t.Labels = c.Site, c.Rack, c.Position, c.Labels
		}
		places[t.ID] = t
		servers = append(servers, t)
	}
	for id, c := range configured {
		if _, ok := places[id]; !ok {
			places[id] = c.Target
			if m.Place(&c.Target) {
				q.NeverRead = append(q.NeverRead, id)
			} else {
				q.Others = append(q.Others, c.Target)
			}
		}
	}
	slices.Sort(q.NeverRead)
	if err := known(&m, places); err != nil {
		return err
	}
	for _, t := range servers {
		switch {
		case !m.Place(&t):
			if cfg == nil || configured[t.ID] != nil {
				q.Others = append(q.Others, t)
			}
		case cfg != nil && configured[t.ID] == nil:
			q.Retired = append(q.Retired, t.ID)
		default:
			q.Targets = append(q.Targets, t)
		}
	}
	switch n := len(q.Retired); {
	case len(q.Targets) > 0:
	case n > 0:
		return usageError("no server is chosen that there is data of and that the configuration has: it lacks %s that there is data of, such as %q; --data-dir reviews without a configuration", plural(n, "server"), q.Retired[0])
	default:
		return usageError("no server is chosen that there is data of")
	}
	q.Selection = o.selection()
	for _, x := range []struct {
		flag  string
		texts []string
		sign  int
	}{{"--add", o.adds, 1}, {"--remove", o.removes, -1}} {
		for _, s := range x.texts {
			c, err := changeOf(ctx, r, x.flag, s, x.sign, q)
			if err != nil {
				return err
			}
			q.Changes = append(q.Changes, *c)
		}
	}
	return nil
}

func (o *capacityOptions) selection() string {
	var out []string
	for _, x := range []struct {
		what  string
		words []string
	}{{"site", o.sites}, {"rack", o.racks}, {"label", o.labels}, {"target", o.targets}} {
		for _, w := range x.words {
			out = append(out, x.what+" "+w)
		}
	}
	return strings.Join(out, ", ")
}

// sayCapacity tells on the terminal what the report says on its first page.
func (p *program) sayCapacity(rep *capacity.Report, texts *report.Texts, out string) error {
	if rep.Simulated {
		fmt.Fprintln(p.stdout, texts.Say("simulated"))
	}
	fmt.Fprintln(p.stdout, printable(rep.Line(texts)))
	t := p.newTable(texts.Say("ccol.group"), texts.Say("ccol.servers"), texts.Say("ccol.p50_watts"), texts.Say("ccol.p99_watts"), texts.Say("ccol.coverage"), texts.Say("ccol.share"))
	for i := range rep.Groups {
		g := &rep.Groups[i]
		p50, p99, used := "–", "–", "–"
		var name string
		switch g.Kind {
		case "all":
			name = texts.Say("group.all")
		case "rack":
			name = texts.Say("group.rack") + " " + strings.TrimPrefix(g.Site+"/"+g.Name, "/")
		case "feeds": // two of them
			name = texts.Say("group.feed") + " " + g.Name
		default:
			name = texts.Say("group."+g.Kind) + " " + g.Name
		}
		if g.Draw != nil {
			p50, p99 = report.Digits(g.Draw.P50), report.Digits(g.Draw.P99)
		} else if g.AtLeast != nil {
			p50, p99 = "≥ "+report.Digits(g.AtLeast.P50), "≥ "+report.Digits(g.AtLeast.P99)
		}
		if g.Budget != nil && g.Budget.Share != nil {
			used = report.Percent(*g.Budget.Share) + " %"
		}
		t.row(name, fmt.Sprint(g.Servers), p50, p99, report.Percent(g.Coverage)+" %", used)
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%s\n", filepath.Join(out, "report.html"))
	return nil
}
