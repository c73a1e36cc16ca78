package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

const (
	crashDir  = "DEWLINE_TEST_CRASH_DIR"
	crashSeed = "DEWLINE_TEST_CRASH_SEED"
	// killsPerStore bounds how much each kill's check reads.
	killsPerStore = 20
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		if err := recordUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// recordUntilKilled records visits of several targets at once, compacts and moves into files beside that, and prints "seq id" of each visit that was
// acknowledged. It ends by being killed.
func recordUntilKilled(dir string) error {
	seed, err := strconv.ParseUint(os.Getenv(crashSeed), 10, 64)
	if err != nil {
		return err
	}
	ctx, end := context.WithTimeout(context.Background(), time.Minute) // if nobody kills it
	defer end()
	db, err := Open(ctx, dir, Options{CommitEvery: 2 * time.Millisecond, CommitMax: 8, Sinks: []string{"sink"}})
	if err != nil {
		return err
	}
	var print sync.Mutex
	failed := make(chan error, 8)
	for g := range 6 {
		go func() {
			r := rand.New(rand.NewPCG(seed, uint64(g)))
			target := health.TargetID(fmt.Sprint("t", g))
			base := start.Add(time.Duration(seed%1000) * 1000 * time.Hour)
			for i := range 1 << 30 {
				v := storetest.Random(r, target, base.Add(time.Duration(i)*5*time.Minute))
				if err := db.Record(ctx, v); err != nil {
					failed <- err
					return
				}
				print.Lock()
				fmt.Printf("%d %s\n", v.Seq, v.ID)
				print.Unlock()
			}
		}()
	}
	go func() {
		for round := seed; ; round++ {
			seq, err := db.MaxSeq(ctx)
			if err == nil && round%2 == 0 { // what the one before left may be moved at once
				_, err = db.moveDays(ctx, farDay, 2)
			}
			if err == nil && round%4 == 0 {
				err = db.removePeriods(ctx)
			}
			if err == nil {
				err = db.SetSinkCursor(ctx, "sink", seq)
			}
			if err == nil {
				err = db.CompactBefore(ctx, start.Add(1e6*time.Hour))
			}
			if err == nil && seq%3 == 0 {
				err = db.checkpoint(ctx)
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	kills, r, seed := storetest.Kills(t, storetest.KillStore)
	total, events := 0, 0
	for k := 0; k < kills; k += killsPerStore {
		acknowledged := map[int64]string{} // over all kills: each next process goes on with the same store
		dir := t.TempDir()
		for i := k; i < min(k+killsPerStore, kills) && !t.Failed(); i++ {
			events = killOnce(t, r, dir, seed, i, acknowledged)
		}
		total += len(acknowledged)
		if events == 0 {
			t.Errorf("no events after kill %d: the test proves little", k)
		}
	}
	if total < kills {
		t.Errorf("only %d visits were acknowledged: the test proves little", total)
	}
}

// killOnce kills one process, and holds the store against what was acknowledged.
func killOnce(t *testing.T, r *rand.Rand, dir string, seed uint64, k int, acknowledged map[int64]string) (events int) {
	t.Helper()
	after, early := time.Duration(r.IntN(200))*time.Millisecond, r.IntN(4) == 0
	n := recordAndKill(t, dir, seed*1000+uint64(k), after, early, acknowledged)
	db := openIn(t, dir, Options{})
	integrity(t, db)
	vs, err := db.After(t.Context(), 0, 1<<30)
	if err != nil {
		t.Fatalf("kill %d after %v: %v", k, after, err)
	}
	found := map[int64]string{}
	ids := map[string]bool{}
	for _, v := range vs {
		if ids[v.ID] {
			t.Errorf("kill %d: visit %d is there twice", k, v.Seq)
		}
		ids[v.ID], found[v.Seq] = true, v.ID
		for _, e := range v.Events {
			if ids[e.ID] {
				t.Errorf("kill %d: event %s is there twice", k, e.ID)
			}
			ids[e.ID] = true
			events++
		}
	}
	for seq, id := range acknowledged {
		if found[seq] != id {
			t.Errorf("kill %d after %v: acknowledged visit %d is lost", k, after, seq)
		}
	}
	nothingLeftOver(t, db)
	if blocks := count(t, db, "SELECT count(*) FROM blocks"); testing.Verbose() {
		t.Logf("kill %d after %v: %d acknowledged, %d in the store, %d blocks, %d of them in %d files", k, after, n, len(vs), blocks,
			inFiles(t, db), count(t, db, "SELECT count(*) FROM periods"))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return events
}

// nothingLeftOver holds the files of closed days against the rows: once what a kill cut short is done, each file has a row, and each row a file.
func nothingLeftOver(t *testing.T, db *DB) {
	t.Helper()
	must(t, db.finishMoves(t.Context()))
	must(t, db.removePeriods(t.Context()))
	files := filesOf(t, db.dir)
	if n := count(t, db, "SELECT count(*) FROM periods"); n != int64(len(files)) {
		t.Errorf("%d files have a row, %d are there", n, len(files))
	}
	if n := count(t, db, "SELECT count(*) FROM blocks WHERE (period IS NULL) <> (length(data) > 0)"); n != 0 {
		t.Errorf("%d blocks stand in both places or in none", n)
	}
	if bad, err := db.lostPeriods(t.Context()); len(bad) > 0 || err != nil {
		t.Errorf("lost %v, %v", bad, err)
	}
}

// recordAndKill starts a process that records, kills it some time after its first acknowledgement, or early, while it opens the
// store, and adds what it acknowledged.
func recordAndKill(t *testing.T, dir string, seed uint64, after time.Duration, early bool, acknowledged map[int64]string) (n int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), crashDir+"="+dir, fmt.Sprintf("%s=%d", crashSeed, seed))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) }
	if early {
		kill()
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if n == 0 && !early {
			kill()
		}
		s, id, ok := strings.Cut(lines.Text(), " ")
		seq, err := strconv.ParseInt(s, 10, 64)
		if err != nil || !ok || len(id) != 32 {
			continue // the last line, cut by the kill
		}
		if old, ok := acknowledged[seq]; ok {
			t.Errorf("seq %d acknowledged for %s and for %s", seq, old, id)
		}
		acknowledged[seq] = id
		n++
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the recording process ended by itself: %v", err)
	}
	return n
}
