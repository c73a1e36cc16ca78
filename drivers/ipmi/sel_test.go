package ipmi

import (
	"slices"
	"testing"
	"time"

	"dewline/health"
)

func ids(v *visit) []string {
	var out []string
	for _, e := range v.snap.Log {
		out = append(out, e.ID)
	}
	return out
}

func newLog(n int) *fakeSEL {
	s := &fakeSEL{add: 1_700_000_000, erase: 1_600_000_000, free: 10_000}
	s.append(n)
	return s
}

func TestTheLogIsReadIncrementally(t *testing.T) {
	f, s := newFake(t), newLog(5)
	s.serve(f)
	v := f.readSEL(nil, 0)
	if len(v.snap.Log) != 5 {
		t.Fatalf("first visit: %v", ids(v))
	}
	f.total = 0
	v = f.readSEL(v.snap.NextCursors, 0)
	if len(v.snap.Log) != 0 || f.total != 1 {
		t.Errorf("nothing new: %v in %d exchanges", ids(v), f.total)
	}
	s.append(3)
	f.total = 0
	v = f.readSEL(v.snap.NextCursors, 0)
	if !slices.Equal(ids(v), []string{"6", "7", "8"}) || f.total != 4 {
		t.Errorf("three new: %v in %d exchanges", ids(v), f.total)
	}
}

func TestTheFirstVisitReadsTheNewest(t *testing.T) {
	f, s := newFake(t), newLog(3000)
	s.serve(f)
	v := f.readSEL(nil, 0)
	if len(v.snap.Log) != health.DefaultLogLimit || v.snap.Log[len(v.snap.Log)-1].ID != "3000" || f.total > health.DefaultLogLimit+3 {
		t.Errorf("%d entries to %s in %d exchanges", len(v.snap.Log), v.snap.Log[len(v.snap.Log)-1].ID, f.total)
	}
	// A few were deleted: as many older ones take their place.
	s = newLog(3000)
	s.recs = slices.Delete(s.recs, 2950, 2960)
	f = newFake(t)
	s.serve(f)
	if v = f.readSEL(nil, 0); len(v.snap.Log) != health.DefaultLogLimit || v.snap.Log[0].ID != "2791" || f.total > health.DefaultLogLimit+20 {
		t.Errorf("with holes: %d entries from %s in %d exchanges", len(v.snap.Log), v.snap.Log[0].ID, f.total)
	}
	// IDs that do not count up: the log is walked.
	s = newLog(50)
	for i, r := range s.recs {
		r[0], r[1] = byte(7*i+3), byte((7*i+3)>>8)
	}
	f = newFake(t)
	s.serve(f)
	v = f.readSEL(nil, 10)
	if len(v.snap.Log) != 10 || v.snap.Log[9].ID != "346" {
		t.Errorf("%v", ids(v))
	}
	if v = f.readSEL(nil, -1); len(v.snap.Log) != 50 {
		t.Errorf("all: %d", len(v.snap.Log))
	}
}

func TestClearsAreNoticed(t *testing.T) {
	for _, x := range []struct {
		name    string
		change  func(s *fakeSEL)
		cleared bool
		lost    bool
		entries int
	}{
		{"cleared, with its time", func(s *fakeSEL) { s.recs, s.erase = nil, s.erase+100 }, true, false, 0},
		{"cleared and refilled beyond what it held", func(s *fakeSEL) { s.recs, s.erase = nil, s.erase+100; s.append(9) }, true, false, 9},
		{"cleared, with no time kept", func(s *fakeSEL) { s.recs = nil; s.append(2) }, true, false, 2},
		{"refilled to the same IDs, with no time kept", func(s *fakeSEL) { s.erase = 0xffffffff; s.recs = nil; s.append(6) }, true, false, 6},
		{"wrapped past the last entry read", func(s *fakeSEL) { s.append(20); s.recs = s.recs[10:]; s.free = 0 }, false, true, 15},
		{"wrapped, but not past it", func(s *fakeSEL) { s.append(3); s.recs = s.recs[3:]; s.free = 0 }, false, false, 3},
	} {
		t.Run(x.name, func(t *testing.T) {
			f, s := newFake(t), newLog(5)
			s.serve(f)
			if x.name == "refilled to the same IDs, with no time kept" {
				s.erase = 0xffffffff
			}
			first := f.readSEL(nil, 0)
			x.change(s)
			v := f.readSEL(first.snap.NextCursors, 0)
			l := v.snap.Logs[0]
			if l.Cleared != x.cleared || l.Lost != x.lost || len(v.snap.Log) != x.entries {
				t.Errorf("cleared %v, lost %v, entries %v", l.Cleared, l.Lost, ids(v))
			}
			if x.cleared && x.entries > 0 && v.snap.Log[0].Generation == first.snap.Log[0].Generation {
				t.Error("same generation after a clear")
			}
			f.total = 0
			if again := f.readSEL(v.snap.NextCursors, 0); len(again.snap.Log) != 0 || again.snap.Logs[0].Cleared {
				t.Errorf("read again: %v", ids(again))
			}
		})
	}
}

func TestALogWithoutTimesThatWrapsIsStillFollowed(t *testing.T) {
	f, s := newFake(t), newLog(5)
	s.serve(f)
	s.add, s.erase, s.free = 0xffffffff, 0xffffffff, 0
	first := f.readSEL(nil, 0)
	s.append(2)
	s.add, s.recs = 0xffffffff, s.recs[2:]
	v := f.readSEL(first.snap.NextCursors, 0)
	if !slices.Equal(ids(v), []string{"6", "7"}) || v.snap.Logs[0].Cleared {
		t.Errorf("%v %+v", ids(v), v.snap.Logs)
	}
}

// A log that wraps keeps its count, and its stamp tells the second: another entry in the second of the last one that was read leaves no trace in them.
func TestALogThatWrapsWithinASecondIsFollowed(t *testing.T) {
	for _, free := range []uint16{0, 160} { // one that overwrites its oldest, and one that says it has room and drops them all the same
		f, s := newFake(t), newLog(5)
		s.serve(f)
		s.free = free
		cursors := f.readSEL(nil, 0).snap.NextCursors
		wrap := func(n int, add uint32) {
			s.append(n)
			s.add, s.recs = add, s.recs[n:]
		}
		wrap(2, 1_700_000_100)
		v := f.readSEL(cursors, 0)
		if !slices.Equal(ids(v), []string{"6", "7"}) {
			t.Fatalf("free %d: %v", free, ids(v))
		}
		wrap(2, 1_700_000_100)
		if v = f.readSEL(v.snap.NextCursors, 0); !slices.Equal(ids(v), []string{"8", "9"}) {
			t.Fatalf("free %d: in the same second: %v", free, ids(v))
		}
		if v = f.readSEL(v.snap.NextCursors, 0); len(v.snap.Log) > 0 || v.snap.Logs[0].Cleared || v.snap.Logs[0].Lost {
			t.Fatalf("free %d: nothing new: %v %+v", free, ids(v), v.snap.Logs)
		}
		// When that second is over, the stamp is enough again.
		f.later = 3 * time.Second
		for range 2 {
			f.total = 0
			v = f.readSEL(v.snap.NextCursors, 0)
		}
		if len(v.snap.Log) > 0 || f.total != 1 {
			t.Errorf("free %d: later: %v in %d exchanges", free, ids(v), f.total)
		}
	}
}

// What a log holds that was cleared between its stamp and its entries comes once, with the stamp that it has then.
func TestALogThatIsClearedWhileItIsRead(t *testing.T) {
	for _, full := range []bool{false, true} {
		f, s := newFake(t), newLog(5)
		s.serve(f)
		if full {
			s.free = 0
		}
		first := f.readSEL(nil, 0)
		s.append(1)
		s.meanwhile = func() {
			s.recs, s.erase = nil, s.erase+100
			s.append(2)
		}
		v := f.readSEL(first.snap.NextCursors, 0)
		if !slices.Equal(ids(v), []string{"1", "2"}) || !v.snap.Logs[0].Cleared || *v.snap.Logs[0].Total != 2 || len(v.snap.Gaps) > 0 {
			t.Fatalf("full %v: %v %+v, gaps %+v", full, ids(v), v.snap.Logs, v.snap.Gaps)
		}
		if again := f.readSEL(v.snap.NextCursors, 0); len(again.snap.Log) > 0 || again.snap.Logs[0].Cleared || again.snap.Logs[0].Lost {
			t.Errorf("full %v: read again: %v %+v", full, ids(again), again.snap.Logs)
		}
	}
}

func TestAChainOfEntriesThatLeadsBackEnds(t *testing.T) {
	f, s := newFake(t), newLog(5)
	s.loop = true
	s.serve(f)
	v := f.readSEL(nil, 0)
	if len(v.snap.Log) != 5 || f.total > 10 || len(v.snap.Gaps) != 1 || v.snap.Gaps[0].Reason != health.ReasonMalformed {
		t.Errorf("%v in %d exchanges, gaps %+v", ids(v), f.total, v.snap.Gaps)
	}
}

func TestAFullLogIsSaid(t *testing.T) {
	for _, x := range []struct {
		name     string
		set      func(*fakeSEL)
		severity health.Severity
		full     bool
	}{
		{"room left", func(*fakeSEL) {}, health.SeverityOK, false},
		{"no room left", func(s *fakeSEL) { s.free = 0 }, health.SeverityWarning, true},
		{"events dropped", func(s *fakeSEL) { s.overflow = true }, health.SeverityCritical, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			f, s := newFake(t), newLog(5)
			x.set(s)
			s.serve(f)
			v := f.readSEL(nil, 0)
			if sev, _ := conditionOf(v.snap.Components[0], health.KindLogFull); sev != x.severity || v.snap.Logs[0].Full != x.full {
				t.Errorf("%v %+v", sev, v.snap.Logs)
			}
		})
	}
}

func TestTimesThatAreNone(t *testing.T) {
	for _, ts := range []uint32{0, 5, 0x20000000, 0xffffffff} {
		if !selTime(ts).IsZero() {
			t.Errorf("0x%x is %v", ts, selTime(ts))
		}
	}
	if got := selTime(0x20000001); !got.Equal(time.Unix(0x20000001, 0)) {
		t.Errorf("%v", got)
	}
}

func TestTheDirectionBitDecides(t *testing.T) {
	v := newFake(t).visit(health.TierEvents)
	repo := &repository{Records: records{
		compactRecord(1, 9, typeDriveSlot, eventSpecific, 0x1ff, "Drive 0"), fullRecord(2, 10, typeTemperature, 1, "Inlet"),
		compactRecord(3, 11, typeCooling, eventState, 3, "Water Leak"),
	}}
	repo.build()
	v.mem.SDR = repo
	for _, x := range []struct {
		name      string
		rec       []byte
		component health.ComponentID
		kind      health.Kind
		severity  health.Severity
		cleared   bool
	}{
		{"a drive fails", selRecord(1, 1e9, typeDriveSlot, 9, eventSpecific, 1), "drive/Drive 0", health.KindFailed, health.SeverityCritical, false},
		{"a drive is well again", selRecord(1, 1e9, typeDriveSlot, 9, eventSpecific|0x80, 1), "drive/Drive 0", health.KindFailed, health.SeverityOK, true},
		{"a drive is pulled", selRecord(1, 1e9, typeDriveSlot, 9, eventSpecific|0x80, 0), "drive/Drive 0", health.KindAbsentRemoved, health.SeverityWarning, false},
		{"too warm", selRecord(1, 1e9, typeTemperature, 10, eventThreshold, 0x59, 43, 42), "temperature/Inlet", health.KindOverThreshold, health.SeverityCritical, false},
		{"no longer too warm", selRecord(1, 1e9, typeTemperature, 10, eventThreshold|0x80, 0x59, 41, 42), "temperature/Inlet", health.KindOverThreshold, health.SeverityOK, true},
		{"a lower threshold passed upwards", selRecord(1, 1e9, typeTemperature, 10, eventThreshold, 0x51, 12, 10), "temperature/Inlet", "", health.SeverityInfo, false},
		{"water, probably", selRecord(1, 1e9, typeCooling, 11, eventState, 1), "leak_detector/Water Leak", health.KindLeakDetected, health.SeverityWarning, false},
		{"water gone, probably", selRecord(1, 1e9, typeCooling, 11, eventState|0x80, 1), "leak_detector/Water Leak", health.KindLeakDetected, health.SeverityInfo, true},
		{"the log was cleared", selRecord(1, 1e9, typeEventLog, 99, eventSpecific, 2), "", health.KindLogCleared, health.SeverityWarning, false},
		{"a vendor's own type", selRecord(1, 1e9, 0xd0, 99, 0x70, 2), "", "", health.SeverityUnknown, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			e := v.logEntry(x.rec, "g")
			if e.Component != x.component || e.Kind != x.kind || e.Severity != x.severity || e.Cleared != x.cleared || e.Message == "" || e.SEL == nil {
				t.Errorf("%+v", e)
			}
		})
	}
	if e := v.logEntry(selRecord(1, 1e9, typeTemperature, 10, eventThreshold, 0x59, 43, 42), "g"); e.Message != "Inlet: Upper Critical - going high (reading 43 °C, threshold 42 °C) asserted" {
		t.Errorf("message %q", e.Message)
	}
}

// Facts that an interpretation by offset alone gets wrong, each with the record that shows it.
func TestRecordsBeginAndEndConditions(t *testing.T) {
	v := newFake(t).visit(health.TierEvents)
	temp := fullRecord(2, 10, typeTemperature, 1, "Inlet")
	repo := &repository{Records: records{
		compactRecord(1, 9, typePSU, eventSpecific, 0x7f, "PSU 1"), temp,
		compactRecord(3, 11, typeFan, eventRedundancy, 0xff, "Fan Redundancy"), compactRecord(4, 12, typeMemory, eventSpecific, 0x3ff, "DIMMs"),
		compactRecord(5, 13, typeEntityPresence, eventSpecific, 3, "Riser"), compactRecord(6, 14, typeDriveSlot, eventState, 3, "Bay 1"),
		compactRecord(7, 15, typeFan, eventSeverity, 0x7f, "Fan 1"), compactRecord(8, 16, typeCriticalIntr, eventSpecific, 0xfff, "NMI"),
	}}
	repo.build()
	v.mem.SDR = repo
	const fine, w, c = health.SeverityOK, health.SeverityWarning, health.SeverityCritical
	for _, x := range []struct {
		name     string
		rec      []byte
		kind     health.Kind
		severity health.Severity
		lasts    bool
		over     bool
		ends     health.Kind
	}{
		{"a failed supply", selRecord(1, 1e9, typePSU, 9, eventSpecific, 1), health.KindFailed, c, true, false, ""},
		{"a supply that recovered is not critical again", selRecord(1, 1e9, typePSU, 9, eventSpecific|0x80, 1), health.KindFailed, fine, false, true, ""},
		{"a predicted failure is a warning", selRecord(1, 1e9, typePSU, 9, eventSpecific, 2), health.KindPredictedFailure, w, true, false, ""},
		{"lost input", selRecord(1, 1e9, typePSU, 9, eventSpecific, 3), health.KindInputLost, c, true, false, ""},
		{"a supply pulled ends what was wrong with it", selRecord(1, 1e9, typePSU, 9, eventSpecific|0x80, 0), health.KindAbsentRemoved, w, true, false, health.KindInputLost},
		{"a supply put in", selRecord(1, 1e9, typePSU, 9, eventSpecific, 0), health.KindAbsentRemoved, fine, false, true, ""},
		{"a supply on standby is well", selRecord(1, 1e9, typePSU, 9, eventSpecific, 7), "", health.SeverityInfo, false, false, ""},
		{"redundancy lost is a warning while resources suffice", selRecord(1, 1e9, typeFan, 11, eventRedundancy, 1), health.KindRedundancyLost, w, true, false, ""},
		{"insufficient resources are critical", selRecord(1, 1e9, typeFan, 11, eventRedundancy, 5), health.KindRedundancyLost, c, true, false, ""},
		{"degraded redundancy", selRecord(1, 1e9, typeFan, 11, eventRedundancy, 2), health.KindRedundancyDegraded, w, true, false, ""},
		{"full redundancy ends both", selRecord(1, 1e9, typeFan, 11, eventRedundancy, 0), health.KindRedundancyLost, fine, false, true, health.KindRedundancyDegraded},
		{"an uncorrectable error happened", selRecord(1, 1e9, typeMemory, 12, eventSpecific, 1), health.KindUncorrectableError, c, false, false, ""},
		{"a correctable error happened", selRecord(1, 1e9, typeMemory, 12, eventSpecific, 0), health.KindCorrectableError, w, false, false, ""},
		{"an absent entity", selRecord(1, 1e9, typeEntityPresence, 13, eventSpecific, 1), health.KindAbsentRemoved, w, true, false, health.KindFailed},
		{"a state of unknown polarity says nothing", selRecord(1, 1e9, typeDriveSlot, 14, eventState, 1), "", health.SeverityUnknown, false, false, ""},
		{"worse and worse", selRecord(1, 1e9, typeFan, 15, eventSeverity, 2), health.KindFailed, c, true, false, ""},
		{"less severe is not well", selRecord(1, 1e9, typeFan, 15, eventSeverity, 4), health.KindDegraded, w, true, false, ""},
		{"well", selRecord(1, 1e9, typeFan, 15, eventSeverity, 0), health.KindDegraded, fine, false, true, health.KindFailed},
		{"an NMI happened", selRecord(1, 1e9, typeCriticalIntr, 16, eventSpecific, 0), health.KindFailed, c, false, false, ""},
		{"a full log is told by its own words", selRecord(1, 1e9, typeEventLog, 99, eventSpecific, 4), health.KindLogFull, c, false, false, ""},
		{"a new firmware", selRecord(1, 1e9, typeVersionChange, 98, eventSpecific, 1), health.KindInfo, w, false, false, ""},
		{"a watchdog's reset", selRecord(1, 1e9, typeWatchdog2, 97, eventSpecific, 1), health.KindWatchdogReset, c, false, false, ""},
		{"an opened lid is a warning", selRecord(1, 1e9, typePhysicalSecurity, 96, eventSpecific, 0), health.KindIntrusion, w, true, false, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			e := v.logEntry(x.rec, "g")
			if e.Kind != x.kind || e.Severity != x.severity || e.Decoded.Severity != x.severity || e.Decoded.Lasts != x.lasts || e.Cleared != x.over ||
				x.ends != "" && !slices.Contains(e.Decoded.Ends, x.ends) || len(e.Decoded.Names) != 1 {
				t.Errorf("%+v %+v", e, e.Decoded)
			}
		})
	}
}

func TestACriticalThresholdThatIsLeftMayLeaveTheOther(t *testing.T) {
	v := newFake(t).visit(health.TierEvents)
	repo := &repository{Records: records{fullRecord(2, 10, typeTemperature, 1, "Inlet")}}
	repo.build()
	v.mem.SDR = repo
	key := repo.sensors[0].key.String()
	limits := func(mask uint8) { v.mem.Thresholds = map[string][7]uint8{key: {mask, 0, 0, 0, 38, 43, 48}} }
	back := func(read byte) health.LogEntry {
		return v.logEntry(selRecord(1, 1e9, typeTemperature, 10, eventThreshold|0x80, 0x59, read, 43), "g")
	}
	limits(0x18)
	if e := back(41); e.Cleared || !e.Decoded.Lasts || e.Severity != health.SeverityWarning || e.Kind != health.KindOverThreshold {
		t.Errorf("41 °C with a threshold at 38: %+v %+v", e, e.Decoded)
	}
	if e := back(30); !e.Cleared || e.Severity != health.SeverityOK {
		t.Errorf("30 °C with a threshold at 38: %+v", e)
	}
	limits(0x10)
	if e := back(41); !e.Cleared {
		t.Errorf("without a non-critical threshold: %+v", e)
	}
}
