package collector_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"dewline/collector"
	"dewline/drivers/ipmi"
	"dewline/drivers/redfish"
	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
	"dewline/store/influx"
	"dewline/store/influx/influxtest"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

const (
	onceDir    = "DEWLINE_TEST_ONCE_DIR"
	onceInflux = "DEWLINE_TEST_ONCE_INFLUX"
	onceBMCs   = "DEWLINE_TEST_ONCE_BMCS"
	// oncePerWorld bounds what one store and one InfluxDB hold.
	oncePerWorld = 50
	// onceTail is how many of a log's entries may be unread: fewer than the smallest log of the test holds.
	onceTail = 8
)

// onceBMC is a simulated BMC and all that its log ever held.
type onceBMC struct {
	Name, URL, Driver, Fingerprint string

	machine *bmcsim.Machine
	work    func() int // grows with each request
	logs    func(bmcsim.Event) bool
	last    bmcsim.Event // that was noted
	since   int          // entries before it was first read: history
	truth   []bmcsim.Event
	cleared int // how often
}

// note takes the entries that came since.
func (b *onceBMC) note() {
	all := b.machine.Log()
	for _, e := range all[slices.Index(all, b.last)+1:] {
		if b.logs == nil || b.logs(e) {
			b.truth = append(b.truth, e)
		}
		b.last = e
	}
}

// happen lets something happen, by chance.
func (b *onceBMC) happen(r *rand.Rand) {
	m := b.machine
	p := m.Profile()
	fan, psu, drive, on := r.IntN(p.Fans), r.IntN(p.PSUs), r.IntN(p.Drives), r.IntN(2) == 0
	pick := func(yes, no func(int), i int) {
		if on {
			yes(i)
		} else {
			no(i)
		}
	}
	switch r.IntN(9) {
	case 0:
		pick(m.FailFan, m.RepairFan, fan)
	case 1:
		pick(m.FailPSU, m.RepairPSU, psu)
	case 2:
		pick(m.LosePSUInput, m.RestorePSUInput, psu)
	case 3:
		pick(m.FailDrive, m.RepairDrive, drive)
	case 4:
		pick(m.PredictDrive, m.UnpredictDrive, drive)
	case 5:
		pick(m.WetLeak, m.DryLeak, 0)
	case 6:
		pick(m.RemoveDrive, m.InsertDrive, drive)
	default: // the likeliest: two like entries
		m.CorrectError(0)
		if on {
			m.CorrectError(0)
		}
	}
}

// runOnceUntilKilled is the daemon: real drivers, collector, store and sink, each BMC read again and again.
func runOnceUntilKilled(dir string) error {
	ctx, end := context.WithTimeout(context.Background(), 10*time.Minute) // if nobody kills it
	defer end()
	var bmcs []onceBMC
	if err := json.Unmarshal([]byte(os.Getenv(onceBMCs)), &bmcs); err != nil {
		return err
	}
	db, sink, err := openOnce(ctx, dir, os.Getenv(onceInflux))
	if err != nil {
		return err
	}
	failed := make(chan error, len(bmcs)+1)
	go func() { failed <- sink.Run(ctx) }()
	c := collector.New(collector.Options{Recorder: db, Open: func(health.Target, string) (collector.Source, error) { return nil, nil }})
	for i := range bmcs {
		go func() { failed <- onceFollow(ctx, c, db, &bmcs[i]) }()
	}
	return <-failed
}

func openOnce(ctx context.Context, dir, url string) (*sqlite.DB, *influx.Sink, error) {
	db, err := sqlite.Open(ctx, dir, sqlite.Options{CommitEvery: 5 * time.Millisecond, CommitMax: 8, Sinks: []string{influx.DefaultName}})
	if err != nil {
		return nil, nil, err
	}
	sink, err := influx.New(influx.Options{URL: url, Bucket: "hw/autogen", BatchLines: 200}, db,
		func(health.TargetID) (health.Target, bool) { return health.Target{}, false })
	return db, sink, err
}

func onceFollow(ctx context.Context, c *collector.Collector, db *sqlite.DB, b *onceBMC) error {
	t := health.Target{ID: health.TargetID(b.Name), Address: b.URL, Driver: b.Driver}
	var src collector.Source
	var err error
	password := secret.New(bmcsim.DefaultPassword)
	if b.Driver == health.DriverIPMI {
		src, err = ipmi.Open(t.ID, ipmi.Options{Address: b.URL, Username: bmcsim.DefaultUsername, Password: password})
	} else {
		src, err = redfish.Open(t.ID, redfish.Options{Address: b.URL, Username: bmcsim.DefaultUsername, Password: password, TLS: redfish.TLS{Fingerprint: b.Fingerprint}})
	}
	if err != nil {
		return err
	}
	known, err := db.Recall(ctx, t.ID)
	if err != nil {
		return err
	}
	known = known.For(t)
	for n := 0; ctx.Err() == nil; n++ {
		now := time.Now()
		due := map[health.Tier]time.Time{health.TierEvents: now}
		if n%4 == 1 { // the log first: most daemons of this test do not live for long
			due[health.TierReadings] = now
		}
		if n%16 == 8 {
			due[health.TierHealth] = now
		}
		if _, err := c.Visit(ctx, t, known, src, due, now); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ctx.Err()
}

// Whatever a BMC's log says is one entry and, if it counts, one event in the store, and one point in InfluxDB: across kill -9 at random
// moments, logs that are cleared, wrap and use their numbers again, and an InfluxDB that dies.
func TestKilledDaemonLosesAndDoublesNoEvent(t *testing.T) {
	t.Parallel()
	kills, r, _ := storetest.Kills(t, storetest.KillEvents)
	for done := 0; done < kills && !t.Failed(); done += oncePerWorld {
		onceWorld(t, r, min(oncePerWorld, kills-done))
	}
}

// onceWorld kills the daemon of a new room some times, and holds what was recorded and delivered against what the BMCs logged.
func onceWorld(t *testing.T, r *rand.Rand, kills int) {
	t.Helper()
	server := influxtest.Start(t)
	server.Query("", "CREATE DATABASE hw")
	dir := t.TempDir()
	machines := 4
	if os.Getenv("DEWLINE_KILLS") != "" { // asked for
		machines = 6
	}
	bmcs := onceRoom(t, machines)
	made, _, err := openOnce(t.Context(), dir, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	// Once in peace: what the logs hold until then is history.
	onceRun(t, dir, server.URL, bmcs, func(ended <-chan error) {
		for !onceAllVisited(t, store, bmcs) {
			select {
			case err := <-ended:
				t.Fatalf("the daemon ended by itself: %v", err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	for _, b := range bmcs {
		b.note()
		b.since = len(b.truth)
	}
	for k := range kills {
		if k%12 == 5 {
			server.Kill()
		}
		for _, b := range bmcs {
			b.stir(t, r, store)
		}
		onceRun(t, dir, server.URL, bmcs, func(ended <-chan error) {
			// Killed after so much work, at times before the first visit is over.
			onceWork(t, bmcs, ended, r.IntN(30))
			for _, b := range bmcs {
				if r.IntN(2) == 0 {
					b.stir(t, r, store)
				}
			}
			onceWork(t, bmcs, ended, r.IntN(30+100*(k%2)))
			time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
		})
		if k%12 == 7 {
			server.Restart()
		}
	}
	server.Restart()
	onceRun(t, dir, server.URL, bmcs, func(ended <-chan error) {
		for !onceAllRead(t, store, bmcs) {
			select {
			case err := <-ended:
				onceShow(t, store, bmcs)
				t.Fatalf("the daemon ended by itself: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
	db, sink, err := openOnce(t.Context(), dir, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	(&world{}).drain(t, db, sink)
	onceCheck(t, db, server, bmcs)
}

// onceShow tells what is missing.
func onceShow(t *testing.T, store *sqlite.DB, bmcs []*onceBMC) {
	t.Helper()
	for _, b := range bmcs {
		entries, err := store.LogEntries(t.Context(), time.Time{}, time.Time{}, health.TargetID(b.Name))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s (%s): %d of %d entries are read; cleared %d times", b.Name, b.Driver, len(entries), len(b.truth), b.cleared)
		if len(entries) >= len(b.truth) {
			continue
		}
		for _, e := range b.truth {
			t.Logf("made %+v", e)
		}
		for _, e := range entries {
			t.Logf("read %s generation %s of %s, %s %s", e.ID, e.Generation, e.Created.Format(time.RFC3339), e.Observed.Format(time.RFC3339Nano), e.Message)
		}
	}
}

// stir lets things happen to a machine, as many as its log has room for before they are read, and clears its log at times, if all of it
// was read: what is cleared unread is nobody's fault.
func (b *onceBMC) stir(t *testing.T, r *rand.Rand, store *sqlite.DB) {
	t.Helper()
	unread := len(b.truth) - onceStored(t, store, b.Name)
	// Nor twice within a second: an entry of the same number, second and words as one before the clear is that one to everybody.
	if unread == 0 && r.IntN(4) == 0 && !b.last.Time.Truncate(time.Second).Equal(time.Now().Truncate(time.Second)) {
		b.machine.ClearLog()
		b.cleared++
		b.note()
	}
	before := len(b.truth) - unread // in the store at least
	for range r.IntN(4) {
		if len(b.truth)-before >= onceTail {
			return
		}
		b.happen(r)
		b.note()
	}
}

func onceStored(t *testing.T, store *sqlite.DB, name string) int {
	t.Helper()
	entries, err := store.LogEntries(t.Context(), time.Time{}, time.Time{}, health.TargetID(name))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func onceAllVisited(t *testing.T, store *sqlite.DB, bmcs []*onceBMC) bool {
	t.Helper()
	for _, b := range bmcs {
		if onceStored(t, store, b.Name) == 0 {
			return false
		}
	}
	return true
}

func onceAllRead(t *testing.T, store *sqlite.DB, bmcs []*onceBMC) bool {
	t.Helper()
	for _, b := range bmcs {
		if onceStored(t, store, b.Name) < len(b.truth) {
			return false
		}
	}
	return true
}

// onceRoom serves machines of both protocols, some with logs so short that they wrap.
func onceRoom(t *testing.T, machines int) []*onceBMC {
	t.Helper()
	var bmcs []*onceBMC
	for i, x := range []struct {
		profile bmcsim.Profile
		driver  string
		room    int // of its log; 0: as it comes
	}{
		{bmcsim.ProfileLegacy, health.DriverRedfish, 0}, {bmcsim.ProfileModern, health.DriverRedfish, 24},
		{bmcsim.ProfileWhitebox, health.DriverIPMI, 0}, {bmcsim.ProfileBoard, health.DriverIPMI, 24},
		{bmcsim.ProfileMixed, health.DriverRedfish, 40}, {bmcsim.ProfileBlade, health.DriverIPMI, 40},
	}[:machines] {
		b := &onceBMC{Name: fmt.Sprintf("db-%d", i), Driver: x.driver, machine: bmcsim.NewMachine(x.profile, fmt.Sprintf("db-%d", i), uint64(i))}
		if x.room > 0 {
			b.machine.SetLogCapacity(x.room, true)
		}
		var closing func() error
		if x.driver == health.DriverIPMI {
			srv, err := bmcsim.ServeIPMI(b.machine, bmcsim.IPMIOptions{MaxSessions: 1 << 20}) // a killed daemon leaves its session
			if err != nil {
				t.Fatal(err)
			}
			b.URL, closing, b.work = srv.URL(), srv.Close, func() int { return srv.Stats().Datagrams }
			b.logs = srv.Logs
		} else {
			srv, err := bmcsim.ServeRedfish(b.machine, bmcsim.RedfishOptions{MaxSessions: 1 << 20, Expand: x.profile.Redfish != bmcsim.ShapeLegacy})
			if err != nil {
				t.Fatal(err)
			}
			b.URL, b.Fingerprint, closing, b.work = srv.URL(), srv.CertFingerprint(), srv.Close, func() int { return srv.Stats().Requests }
		}
		t.Cleanup(func() {
			if err := closing(); err != nil {
				t.Error(err)
			}
		})
		bmcs = append(bmcs, b)
	}
	return bmcs
}

// onceRun starts a daemon, and kills it when meanwhile is over.
func onceRun(t *testing.T, dir, url string, bmcs []*onceBMC, meanwhile func(ended <-chan error)) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(bmcs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), onceDir+"="+dir, onceInflux+"="+url, onceBMCs+"="+string(list))
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- cmd.Wait() })
	defer wg.Wait()
	defer func() { _ = cmd.Process.Kill() }()
	meanwhile(ended)
}

// onceWork waits until the BMCs were asked so often.
func onceWork(t *testing.T, bmcs []*onceBMC, ended <-chan error, n int) {
	t.Helper()
	work := func() (sum int) {
		for _, b := range bmcs {
			sum += b.work()
		}
		return sum
	}
	for goal := work() + n; work() < goal; {
		select {
		case err := <-ended:
			t.Fatalf("the daemon ended by itself: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

func onceCheck(t *testing.T, db *sqlite.DB, server *influxtest.Server, bmcs []*onceBMC) {
	t.Helper()
	events := map[string]int{}
	byEntry := map[health.TargetID]map[string]health.Event{}
	for _, v := range storetest.All(t, db) {
		for _, e := range v.Events {
			events[e.ID]++
			if byEntry[e.Target] == nil {
				byEntry[e.Target] = map[string]health.Event{}
			}
			byEntry[e.Target][e.ID] = e
		}
	}
	counted, clears := 0, 0
	for _, b := range bmcs {
		id := health.TargetID(b.Name)
		entries, err := db.LogEntries(t.Context(), time.Time{}, time.Time{}, id)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(b.truth) {
			t.Errorf("%s (%s): %d entries in the store, %d in its log", b.Name, b.Driver, len(entries), len(b.truth))
		}
		for i := range min(len(entries), len(b.truth)) {
			e, want := &entries[i].LogEntry, b.truth[i]
			if e.ID != strconv.Itoa(want.ID) || !e.Created.Equal(want.Time.Truncate(time.Second)) {
				t.Errorf("%s: entry %d is %s of %s, want %d of %s", b.Name, i, e.ID, e.Created, want.ID, want.Time)
				break
			}
			if i < b.since {
				continue
			}
			_, made := byEntry[id][health.LogEventID(id, e)]
			counts := e.Kind != "" && e.Kind != health.KindInfo || e.Severity >= health.SeverityWarning
			if made != counts {
				t.Errorf("%s: entry %s %q (kind %q, %s): event %v", b.Name, e.ID, e.Message, e.Kind, e.Severity, made)
			}
			if made {
				counted++
			}
		}
		clears += b.cleared
	}
	series := server.Query("hw", "SELECT event_id FROM hw_event")
	points := map[string]int{}
	for _, s := range series {
		at := slices.Index(s.Columns, "event_id")
		for _, v := range s.Values {
			points[fmt.Sprint(v[at])]++
		}
	}
	if !maps.Equal(points, events) {
		for _, id := range slices.Sorted(maps.Keys(events)) {
			if points[id] != 1 || events[id] != 1 {
				t.Errorf("event %s: %d in the store, %d in InfluxDB", id, events[id], points[id])
			}
		}
		t.Errorf("%d events in the store, %d in InfluxDB", len(events), len(points))
	}
	t.Logf("%d events, %d of them of log entries; %d clears", len(events), counted, cmp.Or(clears, 0))
	if counted < len(bmcs) || clears == 0 {
		t.Error("the test proves little")
	}
}
