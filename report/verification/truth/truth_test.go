package truth

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"dewline/health"
	"dewline/report"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// Limits that the report keeps to.
const (
	mostNeedless = 0.10 // inconclusive where nothing forbade a verdict
	mostFalse    = 0.01 // "fault found" where no fault stood
	// Of few incidents, one more is no sign of a rate.
	fewIncidents = 200
)

// outcome is how a report was judged.
type outcome struct {
	i        *incident
	verdict  verification.Verdict
	limits   []*bounds
	falsely  string   // "verified", and why it should not be
	fault    string   // "fault found", and there is none
	needless string   // "inconclusive", and nothing forbade a verdict
	dry      []string // claims of dryness without proof
	deserved bool     // a verdict could be given
	sound    bool     // no fault stands
	unseen   bool     // damage that no BMC showed, and a verdict
	missed   bool     // a standing fault, and only inconclusive
	spent    time.Duration
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // stores and reports by the dozen: collecting would be a tenth of the work
	os.Exit(m.Run())
}

func TestVerdictsAreTrue(t *testing.T) {
	long := os.Getenv("DEWLINE_LONG") != ""
	count, bases := 50, 5
	if long {
		count = 1000
	}
	count = int(number(t, "DEWLINE_INCIDENTS", uint64(count)))
	if long {
		bases = max(5, count/25)
	}
	seed := number(t, "DEWLINE_SEED", rand.Uint64()>>12)
	only := number(t, "DEWLINE_ONLY", 0) // of this number, from 1
	t.Logf("%d incidents from %d baselines; DEWLINE_SEED=%d repeats them", count, bases, seed)

	all, err := run(t.Context(), t.TempDir(), seed, count, bases, long, only)
	if err != nil {
		t.Fatal(err)
	}
	judge(t, all)
}

// TestIncidentsThatWereJudgedWrongly are drawn again: those that the report, or the oracle, was mended by.
func TestIncidentsThatWereJudgedWrongly(t *testing.T) {
	const count, bases = 1000, 40 // as with DEWLINE_LONG
	for _, c := range []struct {
		what    string
		seed, n uint64
	}{
		{"a leak whose end is heard of when dewline runs again", 1066065352150764, 562},
		{"a detector of whose two states nobody knows which is liquid", 1066065352150764, 579},
		{"a BMC that repeats itself, and then is silent", 1066065352150764, 851},
		{"a drive that fails before the water is noticed, and no baseline", 442013707153875, 79},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			all, err := run(t.Context(), t.TempDir(), c.seed, count, bases, true, c.n)
			if err != nil {
				t.Fatal(err)
			}
			if len(all) != 1 {
				t.Fatalf("%d incidents", len(all))
			}
			judge(t, all)
			if o := all[0]; o.fault != "" || o.needless != "" {
				t.Error(o.fault, o.needless)
			}
		})
	}
}

// run plays incidents and judges the reports on them; only is the number of one of them, or 0.
func run(ctx context.Context, dir string, seed uint64, count, bases int, long bool, only uint64) (all []*outcome, err error) {
	// Which incidents go on from which baseline. Of five, one is in trouble, and dear to play.
	const few = "0120412013"
	of := func(n int) (mine []int) {
		for k := range count {
			if bases == 5 && int(few[k%len(few)]-'0') == n || bases != 5 && k%bases == n {
				mine = append(mine, k)
			}
		}
		return mine
	}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for n := range bases {
		g.Go(func() error {
			b := drawBase(rand.New(rand.NewPCG(seed, uint64(n)<<32)), n, long)
			b.dir = filepath.Join(dir, "base"+strconv.Itoa(n))
			mine := of(n)
			if only > 0 {
				mine = slices.DeleteFunc(mine, func(k int) bool { return uint64(k+1) != only })
			}
			if len(mine) == 0 {
				return nil
			}
			if err := b.record(ctx); err != nil {
				return fmt.Errorf("baseline %d: %w", n, err)
			}
			for _, k := range mine {
				i := draw(rand.New(rand.NewPCG(seed, uint64(n)<<32+uint64(k)+1)), k+1, b)
				o, err := i.run(ctx, filepath.Join(dir, "incident"+strconv.Itoa(k)))
				if err != nil {
					return fmt.Errorf("%s: %w", i, err)
				}
				mu.Lock()
				all = append(all, o)
				mu.Unlock()
			}
			return nil
		})
	}
	err = g.Wait()
	slices.SortFunc(all, func(a, b *outcome) int { return a.i.n - b.i.n })
	return all, err
}

func judge(t *testing.T, all []*outcome) {
	t.Helper()
	counts := map[verification.Verdict]int{}
	var deserved, needless, sound, false_, unseen, missed, dry, falsely int
	for _, o := range all {
		counts[o.verdict]++
		for n, is := range map[*int]bool{&deserved: o.deserved, &needless: o.needless != "", &sound: o.sound, &false_: o.fault != "", &unseen: o.unseen, &missed: o.missed, &falsely: o.falsely != ""} {
			if is {
				*n++
			}
		}
		dry += len(o.dry)
		if o.falsely != "" {
			t.Errorf("false %q: %s\n%s", o.verdict, o.falsely, o.i)
		}
		for _, d := range o.dry {
			t.Errorf("dryness without proof: %s\n%s", d, o.i)
		}
		if o.needless != "" {
			t.Logf("needless: %s\n%s", o.needless, o.i)
		}
		if o.fault != "" {
			t.Logf("no fault: %s\n%s", o.fault, o.i)
		}
	}
	t.Logf("%d incidents: verified %d, with observations %d, inconclusive %d, fault found %d", len(all), counts[verification.Verified], counts[verification.Observations], counts[verification.Inconclusive], counts[verification.FaultFound])
	t.Logf("false verified %d; dryness without proof %d; needless inconclusive %d of %d; false fault found %d of %d; damage that no BMC showed, under a verdict, %d; standing faults under \"inconclusive\" %d",
		falsely, dry, needless, deserved, false_, sound, unseen, missed)
	allow := 0.0
	if len(all) < fewIncidents {
		allow = 1
	}
	if float64(needless) > mostNeedless*float64(deserved)+allow {
		t.Errorf("%d of %d deserved verdicts are needlessly inconclusive: over %.0f %%", needless, deserved, 100*mostNeedless)
	}
	if float64(false_) > mostFalse*float64(sound)+allow {
		t.Errorf("%d of %d without a fault are %q: over %.0f %%", false_, sound, verification.FaultFound, 100*mostFalse)
	}
}

func openStore(ctx context.Context, dir string) (*sqlite.DB, error) {
	return sqlite.Open(ctx, dir, sqlite.Options{Log: slog.New(slog.DiscardHandler), CommitEvery: time.Microsecond, CommitMax: 1})
}

// record plays the baseline.
func (b *base) record(ctx context.Context) error {
	db, err := openStore(ctx, b.dir)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range b.servers {
		if err := (player{db, b.rhythm}).play(ctx, s, epoch, epoch.Add(b.length)); err != nil {
			return err
		}
	}
	return db.Close()
}

// run plays the incident on a copy of its baseline, makes the report and judges it.
func (i *incident) run(ctx context.Context, dir string) (*outcome, error) {
	begun := time.Now()
	if err := os.CopyFS(dir, os.DirFS(i.base.dir)); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	db, err := openStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	for _, s := range i.servers {
		if err := (player{db, i.rhythm}).play(ctx, s, epoch.Add(i.base.length), i.made); err != nil {
			return nil, err
		}
		s.seenFrozen()
	}
	q := verification.Request{
		Incident: i.found, Baseline: baseline, Soak: i.soak, GeneratedAt: i.made, Program: "truth", Attestations: i.attest, Title: "drawn incident",
	}
	for _, s := range i.servers {
		q.Targets = append(q.Targets, s.target.ID)
	}
	if i.explains {
		if err := i.explain(ctx, db, &q); err != nil {
			return nil, err
		}
	}
	if err := chain(ctx, db, &q); err != nil {
		return nil, err
	}
	rep, err := verification.Build(ctx, storeReader{db}, q)
	if err != nil {
		return nil, err
	}
	o, err := i.judge(rep)
	if err == nil {
		o.spent = time.Since(begun)
	}
	return o, err
}

// explain attests every grave event of the soak.
func (i *incident) explain(ctx context.Context, db *sqlite.DB, q *verification.Request) error {
	for _, s := range i.servers {
		events, err := db.Events(ctx, i.found, i.made.Add(time.Hour), s.target.ID)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Severity == health.SeverityCritical {
				q.Attestations = append(q.Attestations, verification.Attestation{What: "explanation", By: "engineer", At: i.made, Text: "known", Event: e.ID})
			}
		}
	}
	return nil
}

// judge compares a report with the truth.
func (i *incident) judge(rep *verification.Report) (*outcome, error) {
	o := &outcome{i: i, verdict: rep.Verdict, sound: true}
	best, grey, standing, hidden := verification.Verified, false, false, false
	var why, reasons []string
	for k, s := range i.servers {
		b := i.bounds(s)
		o.limits = append(o.limits, b)
		rs := rep.Servers[k]
		if order[b.best] > order[best] {
			best = b.best
		}
		grey, standing = grey || b.grey, standing || b.standing
		drifted := slices.ContainsFunc(s.damages, func(d damage) bool { return d.drift })
		told := slices.ContainsFunc(rs.Deviations, func(d verification.Deviation) bool { return d.Result == "changed" })
		hidden = hidden || len(b.unseen) > 0 || drifted && !told
		why = append(why, b.why...)
		for _, r := range rs.Reasons {
			reasons = append(reasons, fmt.Sprintf("%s %s %s", rs.Target, r.Gate, r.Detail))
		}
		if order[rs.Verdict] < order[b.best] {
			o.falsely = fmt.Sprintf("%s is %s (%s), and: %s", s.target.ID, rs.Verdict, strings.Join(reasons, "; "), strings.Join(b.why, "; "))
		}
		if rs.Verdict == verification.FaultFound && !b.standing {
			o.fault = fmt.Sprintf("%s: %s; truth: %s", s.target.ID, strings.Join(reasons, "; "), strings.Join(b.why, "; "))
		}
	}
	// A fault that is found is no false "verified", and one that stands may be hidden behind an inconclusive report, not behind a good one.
	if order[rep.Verdict] < order[best] {
		o.falsely = fmt.Sprintf("the whole (%s), and: %s", strings.Join(reasons, "; "), strings.Join(why, "; "))
	}
	o.sound = !standing
	o.deserved = order[best] < order[verification.Inconclusive] && !grey
	if o.deserved && rep.Verdict == verification.Inconclusive {
		o.needless = fmt.Sprintf("%s; truth: %s", strings.Join(reasons, "; "), strings.Join(why, "; "))
	}
	o.missed = standing && rep.Verdict == verification.Inconclusive
	o.unseen = hidden && order[rep.Verdict] <= order[verification.Observations]
	o.dry = i.unproven(rep)
	for _, lang := range report.Languages() {
		if lang != report.Reference && i.n%4 != 0 { // every fourth in every language
			continue
		}
		texts, err := report.TextsIn(lang)
		if err != nil {
			return nil, err
		}
		bad, err := claims(texts, rep)
		if err != nil {
			return nil, err
		}
		o.dry = append(o.dry, bad...)
	}
	return o, nil
}
