package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

const crashRetain = "DEWLINE_TEST_CRASH_RETAIN"

// TestRetainUntilKilled is no test of its own: TestKillInMidRetention starts it in a process and kills that.
func TestRetainUntilKilled(t *testing.T) {
	dir, atRest := strings.CutPrefix(os.Getenv(crashRetain), "move ")
	if dir == "" {
		t.Skip("started by TestKillInMidRetention")
	}
	ctx, end := context.WithTimeout(context.Background(), 5*time.Minute) // if nobody kills it
	defer end()
	db, err := Open(ctx, dir, Options{CommitEvery: 2 * time.Millisecond, CommitMax: 8, Retention: Retention{Raw: 24 * time.Hour}})
	must(t, err)
	var print sync.Mutex
	var newest time.Time
	var rest sync.RWMutex // if atRest: nothing is recorded while days are compacted and moved, else they may never be at rest on a slow machine
	for g := range 4 {
		go func() {
			m := storetest.NewMachine(health.TargetID(fmt.Sprint("t", g)), 3, uint64(g))
			for i := doneOf(t, db, m.Target); ; i++ {
				at := start.Add(time.Duration(i) * 40 * time.Minute)
				if i%7 == 6 { // late: for an hour that is closed, and perhaps in a file, or dropped
					at = at.Add(-time.Duration(i%5*5) * time.Hour).Add(time.Second)
				}
				if i%49 == 20 { // later still, but not so often that a day is never at rest
					at = at.Add(-30 * time.Hour)
				}
				rest.RLock()
				err := db.Record(ctx, m.Visit(at))
				rest.RUnlock()
				if err != nil {
					t.Error(err)
					return
				}
				print.Lock()
				if at.After(newest) {
					newest = at
				}
				fmt.Printf("visit %d %d\n", g, i)
				print.Unlock()
			}
		}()
	}
	for ctx.Err() == nil {
		print.Lock()
		now := newest
		print.Unlock()
		if now.IsZero() {
			time.Sleep(time.Millisecond)
			continue
		}
		if atRest {
			rest.Lock()
		}
		must(t, db.CompactBefore(ctx, now.Add(-compactGrace)))
		must(t, db.MergeDaysBefore(ctx, now))
		today, _ := dayOf(hourOf(now.UnixNano()))
		days, err := db.unmovedDays(ctx, today)
		must(t, err)
		if len(days) > 0 {
			print.Lock()
			fmt.Println("moving")
			print.Unlock()
		}
		_, err = db.moveDays(ctx, today, 1)
		must(t, err)
		if atRest {
			rest.Unlock()
		}
		must(t, db.retain(ctx, now))
		must(t, db.removePeriods(ctx))
		must(t, db.checkpoint(ctx))
	}
}

// doneOf is how many visits of a target are accounted for.
func doneOf(t *testing.T, db *DB, target health.TargetID) (n int) {
	ticks, err := db.Ticks(t.Context(), target, time.Time{}, time.Time{})
	if err != nil {
		t.Error(err)
	}
	for _, x := range ticks {
		if x.Tier == health.TierReadings {
			n += x.Done
		}
	}
	return n
}

func TestKillInMidRetention(t *testing.T) {
	kills, r, _ := storetest.Kills(t, storetest.KillRetention)
	exe, err := os.Executable()
	must(t, err)
	var dir string
	var acknowledged map[int]int // by target: how many
	moves := 0                   // kills while a day was moved
	for k := range kills {
		if k%killsPerStore == 0 {
			dir, acknowledged = t.TempDir(), map[int]int{}
		}
		after := time.Duration(r.IntN(400)) * time.Millisecond
		inMove := k%3 == 1 // killed while it moves a day, and not at any moment
		cmd := exec.Command(exe, "-test.run=^TestRetainUntilKilled$")
		mode := ""
		if inMove {
			mode = "move "
		}
		cmd.Env = append(os.Environ(), crashRetain+"="+mode+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		said := bufio.NewScanner(out)
		for n, first := 0, true; said.Scan(); n++ {
			var g, i int
			if first && (!inMove || said.Text() == "moving" || n == 500) {
				first = false
				if said.Text() == "moving" {
					moves++
				}
				time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
			}
			if n, _ := fmt.Sscanf(said.Text()+"\n", "visit %d %d\n", &g, &i); n != 2 {
				continue
			}
			acknowledged[g] = max(acknowledged[g], i+1)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the process ended by itself: %v", err)
		}
		db := openIn(t, dir, Options{})
		integrity(t, db)
		for g, want := range acknowledged {
			id := health.TargetID(fmt.Sprint("t", g))
			// One more than was acknowledged may have been committed. Every one is accounted for once, whether it is still there or not.
			if n := doneOf(t, db, id); n < want || n > want+1 {
				t.Errorf("kill %d after %v: %d visits of %s are accounted for, %d were acknowledged", k, after, n, id, want)
			} else {
				acknowledged[g] = n // it is known now: the next kill, too, may cost one acknowledgement and no more
			}
			r, err := db.Rollups(t.Context(), id, "fan/1", health.Speed, time.Time{}, time.Time{})
			must(t, err)
			n := 0
			for _, x := range r {
				n += int(x.N)
			}
			if n < want || n > want+1 {
				t.Errorf("kill %d after %v: %d values of %s are in rollups, %d were acknowledged", k, after, n, id, want)
			}
		}
		if _, err := db.After(t.Context(), 0, 1<<20); err != nil {
			t.Errorf("kill %d: %v", k, err)
		}
		nothingLeftOver(t, db)
		if testing.Verbose() {
			t.Logf("kill %d after %v: acknowledged %v, %d visits and %d blocks are left, %d of them in %d files", k, after, acknowledged,
				count(t, db, "SELECT count(*) FROM visits"), count(t, db, "SELECT count(*) FROM blocks"), inFiles(t, db), count(t, db, "SELECT count(*) FROM periods"))
		}
		must(t, db.Close())
	}
	if moves == 0 {
		t.Error("no day was being moved at any kill: the test proves little")
	}
	if acknowledged[0] < 10 {
		t.Errorf("only %v visits were acknowledged: the test proves little", acknowledged)
	}
}
