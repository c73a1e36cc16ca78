package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/capture"
	"dewline/internal/config"
)

type recordFlags struct {
	pollFlags
	out          string
	rate         float64
	maxDocuments int
	keep         bool
}

func (p *program) recordCommand() *cobra.Command {
	var f recordFlags
	cmd := &cobra.Command{
		Use:   "record TARGET | --address ADDRESS",
		Short: "record what a BMC says into one file, redacted",
		Long: `Record asks one BMC everything that dewline can read, and what lies around it, and writes the answers into one file: the
Redfish tree, or the IPMI sensor records, readings, event log and FRU data. ` + "`dewline poll --replay FILE`" + ` runs the decoders on
it, here or elsewhere: it is what a report of a machine that is read wrongly needs.

Serial numbers, UUIDs, MAC and IP addresses, user and host names, asset tags and e-mail addresses are replaced, the same by
the same, unless --no-redact is given. Passwords, tokens and keys are never in it. Look before you send it: it is a .tar.gz
of text files.

The BMC is asked slowly, one request at a time, and only read. An interrupted recording goes on where it stopped: give the
same command again.`,
		Example: `  dewline record db-1 --out db-1.tar.gz
  dewline record --address https://10.0.0.7 --username monitor --password env:BMC --insecure --out r750.tar.gz
  dewline poll --replay db-1.tar.gz`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeTargets,
	}
	fl := cmd.Flags()
	fl.StringVar(&f.out, "out", "", "the `file` to write (required; a .tar.gz)")
	fl.StringVarP(&f.config, "config", "c", "", "configuration `file` (default ./dewline.toml, then /etc/dewline/dewline.toml)")
	fl.StringVar(&f.address, "address", "", "record this BMC: https://HOST[:PORT], ipmi://HOST[:PORT], or HOST for either")
	fl.StringVar(&f.username, "username", "", "user on the BMC (with --address)")
	fl.StringVar(&f.password, "password", "", "where the password is: env:NAME, file:PATH or cred:NAME (with --address)")
	fl.StringVar(&f.driver, "driver", "", "auto, redfish or ipmi (with --address; default by the address)")
	fl.BoolVar(&f.insecure, "insecure", false, "do not verify the BMC's certificate (with --address)")
	fl.StringVar(&f.fingerprint, "fingerprint", "", "SHA-256 fingerprint the BMC's certificate must have (with --address)")
	fl.StringVar(&f.caFile, "ca-file", "", "certificates that vouch for the BMC's (with --address)")
	fl.StringVar(&f.log, "log", "200", "how many of the newest entries of each log: a number or all")
	fl.Float64Var(&f.rate, "rate", 5, "most requests a second: Redfish documents, or IPMI commands (which count a tenth)")
	fl.IntVar(&f.maxDocuments, "max-documents", 5000, "most Redfish documents beside those that a poll reads")
	fl.DurationVar(&f.timeout, "timeout", 2*time.Hour, "longest time; what was read until then is kept, and gone on with later")
	fl.BoolVar(&f.keep, "no-redact", false, "keep serial numbers, addresses and names (passwords, tokens and keys are blanked all the same)")
	_ = cmd.RegisterFlagCompletionFunc("driver", cobra.FixedCompletions([]string{"auto", "redfish", "ipmi"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return p.record(cmd.Context(), f, args) }
	return cmd
}

func (p *program) record(ctx context.Context, f recordFlags, names []string) error {
	limit, err := parseLogLimit(f.log)
	if err != nil {
		return err
	}
	switch {
	case f.out == "":
		return usageError("--out FILE is needed: where the recording goes")
	case !(f.rate > 0 && f.rate <= 1000):
		return usageError("--rate %v: more than 0, at most 1000 a second", f.rate)
	case f.maxDocuments < 0 || f.maxDocuments > 20_000:
		return usageError("--max-documents %d: 0 to 20000", f.maxDocuments)
	case f.timeout <= 0:
		return usageError("--timeout %s: a positive duration", f.timeout)
	case len(names) == 0 && f.address == "":
		return usageError("give the name of one target, or --address")
	}
	if _, err := os.Lstat(f.out); err == nil {
		return fmt.Errorf("%s is there already: a recording overwrites nothing; remove it, or give another --out", f.out)
	}
	targets, dataDir, err := p.pollTargets(f.pollFlags, names)
	if err != nil {
		return err
	}
	t := &targets[0]
	if strings.HasPrefix(t.Address, config.ReplayScheme) {
		return usageError("target %s is a recording already", t.ID)
	}
	if dataDir != "" {
		if err := noDaemon(ctx, dataDir, t.ID); err != nil {
			return err
		}
		guard, err := p.lockout(ctx, dataDir, false)
		if err != nil {
			return err
		}
		if why := guard.refusal(t); why != "" {
			return &exitError{exitTargets, fmt.Errorf("record %s: %s", t.ID, strings.Replace(why, ", or --try-denied", "", 1))}
		}
	}
	interrupted := ctx
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	r := &recorder{p: p, f: f, t: t, limit: limit, show: newProgress(p.stderr)}
	err = r.run(ctx)
	r.show.end()
	if err != nil && interrupted.Err() != nil {
		return &exitError{exitInterrupted, err}
	}
	return err
}

// noDaemon refuses to record a target that a running daemon reads: it holds the one session that dewline has on a BMC.
func noDaemon(ctx context.Context, dataDir string, id health.TargetID) error {
	body, err := json.Marshal(pollRequest{Target: id})
	if err != nil {
		return err
	}
	resp, err := askDaemon(ctx, dataDir, "/watches", body)
	if err != nil || resp == nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil
	}
	return fmt.Errorf("the daemon that runs here reads %s, and dewline has one session on a BMC: stop it, or take the target out of its configuration and `dewline reload`, and record then", id)
}

// recorder makes one recording.
type recorder struct {
	p     *program
	f     recordFlags
	t     *config.Target
	limit int
	show  *progress

	j       *capture.Journal
	snap    *health.Snapshot
	notRead []capture.NotRead
}

func (r *recorder) run(ctx context.Context) error {
	password, err := r.t.Credential.Password.Resolve()
	if err != nil {
		return fmt.Errorf("password of target %s: %w", r.t.ID, err)
	}
	protocols := []string{r.t.Driver}
	if r.t.Driver == health.DriverAuto {
		protocols = []string{health.DriverRedfish, health.DriverIPMI}
	}
	for i, protocol := range protocols {
		if r.j, err = capture.Begin(r.f.out, protocol+" "+r.t.Address, time.Now(), password.Reveal()); err != nil {
			if errors.Is(err, capture.ErrOther) && i+1 < len(protocols) {
				continue // an interrupted recording of the other protocol
			}
			return err
		}
		before := r.j.Held()
		if before > 0 {
			fmt.Fprintf(r.p.stderr, "going on with %s: %s\n", capture.PartialName(r.f.out), count(before, "answer"))
		}
		err = r.read(ctx, protocol)
		if err == nil || errors.Is(err, capture.ErrFull) {
			return r.finish()
		}
		held := r.j.Held()
		if r.stuck(ctx, held-before, before, err) {
			return r.finish()
		}
		if cerr := r.j.Close(); cerr != nil {
			err = errors.Join(err, cerr)
		}
		if held > before || before > 0 || ctx.Err() != nil && held > 0 || i+1 == len(protocols) || spoken(err) {
			return r.kept(held, err)
		}
		if err := os.Remove(capture.PartialName(r.f.out)); err != nil {
			return err
		}
	}
	return err
}

// stuck tells whether a BMC stops answering at the same place again and again: then what there is of it is the recording.
func (r *recorder) stuck(ctx context.Context, progress, before int, err error) bool {
	if before == 0 || progress > 0 || ctx.Err() != nil || r.snap == nil || len(r.snap.Components) == 0 {
		return false
	}
	r.notRead = append(r.notRead, capture.NotRead{Part: "everything after this", Reason: err.Error(), Count: 1})
	return true
}

// kept says what became of an interrupted recording.
func (r *recorder) kept(held int, err error) error {
	if held <= 1 { // the service root, at most: nothing to go on with
		if rm := os.Remove(capture.PartialName(r.f.out)); rm != nil {
			err = errors.Join(err, rm)
		}
		return &exitError{exitTargets, fmt.Errorf("record %s: %w", r.t.ID, err)}
	}
	return &exitError{exitTargets, fmt.Errorf("record %s: %w\n%s are kept in %s, which only you can read (it is not redacted yet); the same command goes on from there",
		r.t.ID, err, count(held, "answer"), capture.PartialName(r.f.out))}
}

func (r *recorder) read(ctx context.Context, protocol string) error {
	rate := r.f.rate
	if protocol == health.DriverIPMI {
		rate *= 10 // a command is a datagram of a few bytes
	}
	pace := capture.NewPace(rate)
	pace.Asked = r.show.asked
	if protocol == health.DriverIPMI {
		return r.readIPMI(ctx, pace)
	}
	return r.readRedfish(ctx, pace)
}

// closer logs out of the BMC, also when the recording was interrupted.
func closer(ctx context.Context, close func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = close(ctx) // the session ends by itself later
}

func (r *recorder) readRedfish(ctx context.Context, pace *capture.Pace) error {
	o, err := redfishOptions(r.t, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	o.RequestBudget = -1
	o.Transport = func(next http.RoundTripper) http.RoundTripper { return r.j.Transport(next, pace) }
	src, err := redfish.Open(r.t.ID, o)
	if err != nil {
		return err
	}
	defer closer(ctx, src.Close)
	r.show.stage("what a poll reads")
	if r.snap, err = src.Read(ctx, health.Request{Tiers: health.EveryTier, LogLimit: r.limit}); err != nil {
		return cmp.Or(r.j.Err(), err)
	}
	if err := cmp.Or(r.j.Err(), ctx.Err()); err != nil {
		return err
	}
	r.show.stage("the rest of the tree")
	host := ""
	if u, err := url.Parse(o.Address); err == nil {
		host = u.Host
	}
	crawl := capture.NewCrawl(host, r.f.maxDocuments)
	for _, d := range r.j.Documents() {
		crawl.Follow(d.Body)
	}
	err = src.Explore(ctx, func() string {
		for r.j.Err() == nil {
			uri := crawl.Next()
			r.show.left(crawl.Left())
			if uri == "" || r.j.Document(uri) == nil {
				return uri
			}
		}
		return ""
	}, func(uri string, body []byte, err error) {
		if err == nil {
			crawl.Follow(body)
			return
		}
		if health.ReasonFor(err) == health.ReasonUnsupported {
			crawl.Skip("paths that hurt this BMC", "on the deny-list of the driver")
		}
	})
	r.notRead = crawl.NotRead()
	if r.j.Err() != nil {
		return r.j.Err()
	}
	return err
}

func (r *recorder) readIPMI(ctx context.Context, pace *capture.Pace) error {
	o, err := ipmiOptions(r.t, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	o.Exchange = func(next ipmi.Exchange) ipmi.Exchange {
		return r.j.Tap(next, pace, time.Now, func(err error) string { return string(health.ReasonFor(err)) })
	}
	src, err := ipmi.Open(r.t.ID, o)
	if err != nil {
		return err
	}
	defer closer(ctx, src.Close)
	r.show.stage("what a poll reads")
	if r.snap, err = src.Read(ctx, health.Request{Tiers: health.EveryTier, LogLimit: r.limit}); err != nil {
		return cmp.Or(r.j.Err(), err)
	}
	if err := cmp.Or(r.j.Err(), ctx.Err()); err != nil {
		return err
	}
	for _, g := range r.snap.Gaps {
		if g.Place != "" && (g.Reason == health.ReasonUnreachable || g.Reason == health.ReasonStopped || g.Reason == health.ReasonTimeout) {
			return &health.Error{Reason: g.Reason, Op: g.Part, Err: errors.New(g.Error)} // the visit was cut there
		}
	}
	r.show.stage("FRU data and thresholds whole")
	r.notRead, err = capture.AskMore(ctx, r.j, src.Ask)
	return err
}

func (r *recorder) finish() error {
	u, _ := url.Parse(r.t.Address)
	known := []capture.Identity{{Kind: capture.Name, Text: r.t.Credential.Username}}
	if u != nil && u.Hostname() != "" {
		known = append(known, capture.Identity{Kind: capture.Name, Text: u.Hostname()})
	} else {
		known = append(known, capture.Identity{Kind: capture.Name, Text: r.t.Address})
	}
	for _, g := range r.snap.Gaps {
		r.notRead = append(r.notRead, capture.NotRead{Part: g.Part, Reason: string(g.Reason), Count: 1})
	}
	full := errors.Is(r.j.Err(), capture.ErrFull)
	if full {
		r.notRead = append(r.notRead, capture.NotRead{Part: "everything after this", Reason: capture.ErrFull.Error(), Count: 1})
	}
	m, err := r.j.Finish(capture.FinishOptions{
		Dewline: readBuildInfo().Version, Now: time.Now(), KeepIdentities: r.f.keep, NotRead: r.notRead, Identities: known,
	})
	if err != nil {
		return errors.Join(err, r.j.Close())
	}
	r.show.end()
	return r.report(m)
}

// report says what is in the file, after it was replayed: a recording that does not replay is of no use to anyone.
func (r *recorder) report(m *capture.Manifest) error {
	w := r.p.stdout
	st, err := os.Stat(r.f.out)
	if err != nil {
		return err
	}
	what := count(m.Counts.Documents, "document")
	if m.Protocol == capture.ProtocolIPMI {
		what = fmt.Sprintf("%s, %s, %s, %s", count(m.Counts.Exchanges, "answer"), count(m.Counts.SDR, "sensor record"),
			count(m.Counts.SEL, "log entry"), count(m.Counts.FRU, "FRU device"))
	}
	fmt.Fprintf(w, "%s: %s, %d KiB, over %s\n", printable(r.f.out), what, (st.Size()+1023)>>10, m.Protocol)
	if m.Redaction.Identities {
		fmt.Fprintf(w, "redacted: %s replaced, %s blanked\n", count(m.Redaction.Replaced, "identity"), count(m.Redaction.Masked, "secret"))
	} else {
		fmt.Fprintf(w, "not redacted: serial numbers, addresses and names are in it; %s blanked\n", count(m.Redaction.Masked, "secret"))
	}
	if len(m.NotRead) > 0 {
		t := r.p.newTable("NOT READ", "COUNT", "WHY")
		for _, n := range m.NotRead {
			t.row(n.Part, fmt.Sprint(n.Count), n.Reason)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	doc, err := pollReplay(context.Background(), r.f.out, r.limit)
	if err != nil {
		return fmt.Errorf("replay of what was recorded: %w", err)
	}
	if doc.Error != nil {
		return fmt.Errorf("replay of what was recorded: %s", doc.Error.Message)
	}
	if n := len(r.snap.Components); len(doc.Components) < n {
		fmt.Fprintf(r.p.stderr, "warning: the BMC showed %s, the recording shows %d\n", count(n, "part"), len(doc.Components))
	}
	fmt.Fprintf(w, "replayed: %s, %s, %s\nlook inside before you send it: tar -tzf %s; dewline poll --replay %s\n", count(len(doc.Components), "part"),
		count(len(doc.Readings), "reading"), count(len(doc.Log), "log entry"), printable(r.f.out), printable(r.f.out))
	return nil
}

// progress shows on a terminal how far a recording is. Elsewhere it is silent.
type progress struct {
	w  io.Writer
	on bool

	mu      sync.Mutex
	what    string
	done    int
	waiting int
}

func newProgress(w io.Writer) *progress {
	_, _, on := terminal(w)
	return &progress{w: w, on: on}
}

func (s *progress) stage(what string) { s.change(func() { s.what, s.waiting = what, 0 }) }
func (s *progress) asked()            { s.change(func() { s.done++ }) }
func (s *progress) left(n int)        { s.change(func() { s.waiting = n }) }

func (s *progress) change(set func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set()
	if s.on {
		s.draw()
	}
}

func (s *progress) draw() {
	const width = 24
	bar := ""
	if total := s.done + s.waiting; total > 0 && s.waiting > 0 {
		full := width * s.done / total
		bar = "[" + strings.Repeat("#", full) + strings.Repeat("-", width-full) + "] "
	}
	fmt.Fprintf(s.w, "\r\x1b[K%s%s: %d asked", bar, s.what, s.done)
	if s.waiting > 0 {
		fmt.Fprintf(s.w, ", %d to go", s.waiting)
	}
}

// end takes the bar away.
func (s *progress) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.on {
		fmt.Fprint(s.w, "\r\x1b[K")
		s.on = false
	}
}
