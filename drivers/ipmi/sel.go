package ipmi

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"dewline/health"
)

const (
	selID = "sel"
	// maxSELPerVisit bounds how many entries one visit reads; the next goes on.
	maxSELPerVisit = 2000
	// selWalkLimit bounds a walk over a log of unknown length.
	selWalkLimit = 0xffff
	selLast      = 0xffff
	// selSlack is how many entries may come in while the log is read.
	selSlack = 64

	selCursorVersion = 1
)

// selInfo is Get SEL Info (IPMI 2.0 section 31.2).
type selInfo struct {
	entries, free uint16
	add, erase    uint32
	overflow      bool
}

// selCursor is how far the log was read.
type selCursor struct {
	Version int    `json:"v"`
	Add     uint32 `json:"add"`
	Erase   uint32 `json:"erase"`
	Entries uint16 `json:"entries"`
	Last    uint16 `json:"last"` // ID of the last entry read, 0 if the log was empty
	Hash    string `json:"hash,omitempty"`
	Clears  int    `json:"clears,omitempty"` // how often the log was seen to be cleared
	More    bool   `json:"more,omitempty"`   // entries after Last were left for the next visit
	// Open is when entries were last read, in our Unix seconds, while more may come that nothing tells of; 0: none can (settle).
	Open int64 `json:"open,omitempty"`
}

// selSettle is after how many of our seconds the second of the BMC's clock in which an entry came is over for sure.
const selSettle = 2

// settle says whether the log's stamp can be trusted to tell of entries that come. It tells the second: of a log that wraps, and so keeps its count, another
// entry in the second of the last one leaves no trace.
func (c *selCursor) settle(now time.Time) {
	if at := now.Unix(); at >= c.Open+selSettle || at < c.Open { // our clock may have gone back
		c.Open = 0
	}
}

// generation names the log between two clears. It holds only what the BMC says and what was counted, never our clock.
func (c *selCursor) generation() string {
	if timeTrusted(c.Erase) {
		return fmt.Sprintf("%08x.%d", c.Erase, c.Clears)
	}
	return fmt.Sprintf("0.%d", c.Clears)
}

func timeTrusted(t uint32) bool { return t != 0 && t != 0xffffffff }

func hashEntry(rec []byte) string {
	h := sha256.Sum256(rec)
	return hex.EncodeToString(h[:8])
}

// selReader reads entries in order, and remembers which IDs it saw.
type selReader struct {
	c     caller
	seen  map[uint16]bool // IDs of the records that came
	asked map[uint16]bool // IDs that a walk asked for
	cut   bool            // a walk ended before the log's end
	want  int             // how many entries the next walk should find by the log's own count, 0 for unknown
	lost  int             // how many of them it did not
	// skipped is how many entries a first visit left out although it was asked for some of them.
	skipped int
}

// entry reads one record (section 31.5) and gives the ID of its successor, ffffh at the end.
func (r *selReader) entry(ctx context.Context, id uint16) (next uint16, rec []byte, err error) {
	d := binary.LittleEndian.AppendUint16([]byte{0, 0}, id)
	b, err := r.c.call(ctx, command{
		op: fmt.Sprintf("get SEL entry 0x%04x", id), netFn: netFnStorage, cmd: 0x43, data: append(d, 0, 0xff), want: 18,
	})
	if err != nil {
		return 0, nil, err
	}
	return binary.LittleEndian.Uint16(b), b[2:18], nil
}

func recordID(rec []byte) uint16 { return binary.LittleEndian.Uint16(rec) }

// selTries is how often a reading begins anew since the log was cleared meanwhile.
const selTries = 3

// getSELInfo is one exchange.
func (v *visit) getSELInfo(ctx context.Context) (selInfo, error) {
	b, err := v.c.call(ctx, command{op: "get SEL info", netFn: netFnStorage, cmd: 0x40, want: 14})
	if err != nil {
		return selInfo{}, err
	}
	return selInfo{
		entries: binary.LittleEndian.Uint16(b[1:]), free: binary.LittleEndian.Uint16(b[3:]),
		add: binary.LittleEndian.Uint32(b[5:]), erase: binary.LittleEndian.Uint32(b[9:]), overflow: b[13]&0x80 != 0,
	}, nil
}

// readSEL reads the log's new entries: one exchange if there are none, one more for each.
func (v *visit) readSEL(ctx context.Context) error {
	info, err := v.getSELInfo(ctx)
	if err != nil {
		if isCode(err, codeInvalidCommand, codeInvalidForLUN) {
			v.snap.Logs = append(v.snap.Logs, health.LogInfo{ID: selID, Path: placeSEL, Name: selName, Skipped: "unsupported"})
			return nil
		}
		v.gap(health.Gap{Part: selName, Place: placeSEL, Reason: health.ReasonFor(err), Error: clip(err.Error())})
		return err
	}
	old, first := v.selCursor()
	gaps := len(v.snap.Gaps)
	var l health.LogInfo
	var next selCursor
	var recs [][]byte
	for try := 1; ; try++ {
		total := int(info.entries)
		l = health.LogInfo{ID: selID, Path: placeSEL, Name: selName, Total: &total, Full: info.full()}
		next, recs, err = v.newEntries(ctx, info, old, first, &l)
		if try == selTries || !l.Cleared && !l.Lost {
			break
		}
		// A log that is cleared between its stamp and its entries is another than the stamp tells: its entries would come again with the next one.
		now, ierr := v.getSELInfo(ctx)
		if ierr != nil || now.erase == info.erase && now.entries >= info.entries {
			break
		}
		info, v.snap.Gaps = now, v.snap.Gaps[:gaps]
	}
	for _, rec := range recs {
		v.snap.Log = append(v.snap.Log, v.logEntry(rec, next.generation()))
	}
	l.Read, l.More = len(recs), next.More
	v.snap.Logs = append(v.snap.Logs, l)
	v.snap.Components = append(v.snap.Components, logComponent(info, l))
	v.snap.Readings = append(v.snap.Readings, logReadings(info)...)
	v.any = true
	if err != nil {
		v.gap(health.Gap{Part: selName, Reason: health.ReasonFor(err), Error: clip(err.Error())})
	} else {
		v.scope(placeSEL)
	}
	v.mem.FirstLog = 0
	if first && err != nil {
		// Without a cursor the rest stays what it is: history, no news. The next visit tries half of what this one got through.
		v.mem.FirstLog = max(len(recs)/2, 1)
	} else if raw, jerr := json.Marshal(next); jerr == nil {
		v.snap.NextCursors = health.Cursors{placeSEL: raw}
	}
	return err
}

const selName = "System Event Log"

// full: nothing more fits, or something was dropped already. A log that overwrites its oldest entries looks the same until it
// overflows: what can be told is that the record is no longer whole.
func (i selInfo) full() bool { return i.overflow || i.free == 0 && i.entries > 0 }

func (v *visit) selCursor() (selCursor, bool) {
	var c selCursor
	raw, ok := v.req.Cursors[placeSEL]
	if !ok || len(raw) == 0 {
		return c, true
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.Version != selCursorVersion {
		v.log.Warn("log cursor unreadable, reading the newest entries", "error", err, "version", c.Version)
		return selCursor{}, true
	}
	return c, false
}

// newEntries reads what came after the cursor, oldest first, and gives the next cursor. Beside an error both hold what was
// read until then.
func (v *visit) newEntries(ctx context.Context, info selInfo, old selCursor, first bool, l *health.LogInfo) (next selCursor, recs [][]byte, err error) {
	next = old
	next.Version, next.Add, next.Erase, next.Entries = selCursorVersion, info.add, info.erase, info.entries
	defer func() {
		switch wraps := info.full() || !first && info.entries <= old.Entries; {
		case wraps && (len(recs) > 0 || info.add != old.Add):
			next.Open = v.now.Unix()
		case err == nil:
			next.settle(v.now)
		}
	}()
	r := &selReader{c: v.c, seen: map[uint16]bool{}, asked: map[uint16]bool{}}
	defer func() {
		if r.lost > 0 {
			v.gap(health.Gap{
				Part: selName + ", some entries", Reason: health.ReasonMalformed,
				Error: fmt.Sprintf("the log counts %d entries, and does not give %d of them", info.entries, r.lost),
			})
		}
	}()
	if first {
		next.Last, next.Hash, next.More = 0, "", false
		limit := v.req.LogLimit
		switch {
		case limit == 0:
			limit = health.DefaultLogLimit
		case limit < 0:
			limit = selWalkLimit
		}
		if v.mem.FirstLog > 0 {
			limit = min(limit, v.mem.FirstLog)
		}
		recs, err := r.newest(ctx, info, limit)
		next = next.advance(recs, err)
		next.More = next.More || r.cut
		if r.skipped > 0 && len(recs) < limit {
			v.gap(health.Gap{
				Part: selName + ", older entries", Reason: health.ReasonBudget,
				Error: fmt.Sprintf("%d of %d entries read: their IDs do not count up", len(recs), info.entries),
			})
		}
		return next, recs, err
	}
	if old.Last == 0 && info.entries == 0 {
		return next, nil, nil
	}
	cleared := info.entries < old.Entries || info.erase != old.Erase && timeTrusted(info.erase)
	if info.erase != old.Erase && info.entries >= old.Entries && !cleared {
		cleared = timeTrusted(old.Erase) // it kept a time and does no more
	}
	same := !old.More && info.add == old.Add && info.entries == old.Entries && info.erase == old.Erase
	if !cleared && same && timeTrusted(info.add) && old.Open == 0 {
		return next, nil, nil
	}
	if !cleared && same && !timeTrusted(info.add) {
		// No times to go by: a log that wraps keeps its count, so look at the last entry itself.
		_, rec, err := r.entry(ctx, selLast)
		if err != nil || recordID(rec) == old.Last && hashEntry(rec) == old.Hash {
			return next, nil, err
		}
	}
	if !cleared && old.Last != 0 {
		recs, err, found := r.after(ctx, old, info)
		if found {
			return next.advance(recs, err), recs, err
		}
		if err != nil {
			return old, nil, err
		}
		// The last entry read is no longer there: cleared without a trace, or overwritten.
		if info.entries > 0 && (info.full() || info.entries == old.Entries) {
			l.Lost = true
		} else {
			cleared = true
		}
	}
	if cleared {
		l.Cleared = true
		next.Clears++
	}
	next.Last, next.Hash, next.More = 0, "", false
	r.want = int(info.entries)
	recs, err = r.forward(ctx, 0, info, maxSELPerVisit)
	if l.Lost && !cleared {
		// Overwritten, not cleared: the survivors are all newer than what was read.
		next.Clears++
	}
	return next.advance(recs, err), recs, err
}

// advance moves a cursor past what was read.
func (c selCursor) advance(recs [][]byte, err error) selCursor {
	c.More = err != nil || len(recs) >= maxSELPerVisit
	if len(recs) > 0 {
		last := recs[len(recs)-1]
		c.Last, c.Hash = recordID(last), hashEntry(last)
	}
	if err != nil { // let the next visit look again, whatever the times say
		c.Add = 0
	}
	return c
}

// after reads the entries that follow the cursor's. Where erase times are kept, the successor's ID is guessed, since most BMCs
// count up: that saves reading the old entry again. Found is whether the cursor's place in the log was found.
func (r *selReader) after(ctx context.Context, old selCursor, info selInfo) (recs [][]byte, err error, found bool) {
	if timeTrusted(info.erase) && old.Last < 0xfffe && !info.full() {
		next, rec, err := r.entry(ctx, old.Last+1)
		switch {
		case err == nil && recordID(rec) == old.Last+1:
			r.seen[old.Last+1] = true
			r.want = int(info.entries) - int(old.Entries) - 1
			more, err := r.forward(ctx, next, info, maxSELPerVisit-1)
			return append([][]byte{rec}, more...), err, true
		case err != nil && !isAnyCode(err):
			return nil, err, false
		}
	}
	next, rec, err := r.entry(ctx, old.Last)
	switch {
	case isCode(err, codeNotPresent, codeInvalidField, codeOutOfRange):
		return nil, nil, false
	case err != nil:
		return nil, err, false
	case hashEntry(rec) != old.Hash:
		return nil, nil, false
	}
	r.seen[old.Last] = true
	r.want = int(info.entries) - int(old.Entries)
	recs, err = r.forward(ctx, next, info, maxSELPerVisit)
	return recs, err, true
}

// forward reads the entries from an ID on; 0 is the first entry, ffffh the end. Where the chain ends before the log's own
// count is met, the rest is read from the last entry back: Huawei TaiShan gives ffffh in mid-log now and then, and a ring that
// overflowed may have an end behind its first entry (facebook/openbmc #273).
func (r *selReader) forward(ctx context.Context, id uint16, info selInfo, limit int) ([][]byte, error) {
	want := r.want
	r.want = 0
	recs, err := r.chain(ctx, id, info, limit)
	missing := min(want, limit) - len(recs)
	if err != nil || r.cut || missing <= 0 {
		return recs, err
	}
	_, last, err := r.entry(ctx, selLast)
	switch {
	case isAnyCode(err):
		return recs, nil
	case err != nil:
		return recs, err
	case r.seen[recordID(last)]:
		return recs, nil // the last one was read: it is the count that is wrong
	}
	more, err := r.older(ctx, recordID(last)-1, [][]byte{last}, missing)
	more = slices.DeleteFunc(more, func(rec []byte) bool { return r.seen[recordID(rec)] })
	for _, rec := range more {
		r.seen[recordID(rec)] = true
	}
	r.lost = max(0, missing-len(more))
	return append(recs, more...), err
}

// repeats is how many records in a row may be ones that came before.
const repeats = 8

func (r *selReader) chain(ctx context.Context, id uint16, info selInfo, limit int) ([][]byte, error) {
	var recs [][]byte
	if info.entries == 0 {
		return nil, nil
	}
	again := 0
	for id != 0xffff {
		if len(recs) >= limit {
			r.cut = true
			break
		}
		r.asked[id] = true
		next, rec, err := r.entry(ctx, id)
		if isCode(err, codeNotPresent) { // emptied, or the chain's end, which some mark so
			return recs, nil
		}
		if err != nil {
			return recs, err
		}
		if own := recordID(rec); r.seen[own] {
			// The same record under two IDs is no loop yet (Supermicro H8QME, and OpenBMC's ring after an overflow).
			if again++; again <= repeats && next != 0 && !r.asked[next] {
				id = next
				continue
			}
			return recs, &health.Error{Reason: health.ReasonMalformed, Op: "read SEL", Err: fmt.Errorf("the chain of entries leads back to 0x%04x", own)}
		}
		again = 0
		r.seen[recordID(rec)] = true
		recs = append(recs, rec)
		if next == 0 { // no successor either
			return recs, nil
		}
		id = next
	}
	return recs, nil
}

// newest reads the newest entries of a log met for the first time. If it holds more than wanted, the start is guessed from the
// last entry's ID, since IDs mostly count up; else the whole log is walked.
func (r *selReader) newest(ctx context.Context, info selInfo, limit int) ([][]byte, error) {
	if int(info.entries) <= limit || limit >= selWalkLimit {
		r.want = int(info.entries)
		return r.forward(ctx, 0, info, min(int(info.entries)+selSlack, selWalkLimit))
	}
	_, last, err := r.entry(ctx, selLast)
	if err == nil && recordID(last) >= uint16(limit) {
		start := recordID(last) - uint16(limit) + 1
		for guess := start; guess < start+8 && guess <= recordID(last); guess++ {
			next, rec, err := r.entry(ctx, guess)
			if isCode(err, codeNotPresent, codeInvalidField, codeOutOfRange) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if recordID(rec) != guess {
				break
			}
			r.seen[guess] = true
			more, err := r.forward(ctx, next, info, limit+selSlack)
			recs := append([][]byte{rec}, more...)
			if err != nil || len(recs) >= limit {
				return recs[max(0, len(recs)-limit):], err
			}
			// Some between were deleted: as many older ones complete the number, unless they are too sparse.
			recs, err = r.older(ctx, guess-1, recs, limit)
			if err != nil || len(recs) >= limit {
				return recs, err
			}
			break
		}
	} else if err != nil && !isAnyCode(err) {
		return nil, err
	}
	if info.entries > maxSELPerVisit && err == nil {
		// Its IDs do not count up, and to walk all of it is too much to ask: from the last entry back as far as that goes.
		if recs, err := r.older(ctx, recordID(last)-1, [][]byte{last}, limit); err != nil || recordID(last) != 0 {
			r.skipped = int(info.entries) - len(recs)
			return recs, err
		}
	}
	r.seen, r.asked = map[uint16]bool{}, map[uint16]bool{}
	recs, err := r.forward(ctx, 0, info, maxSELPerVisit+selSlack)
	return recs[max(0, len(recs)-limit):], err
}

// older puts entries of lower IDs before recs, until there are limit of them or more IDs were missed than that.
func (r *selReader) older(ctx context.Context, id uint16, recs [][]byte, limit int) ([][]byte, error) {
	for missed := 0; id > 0 && len(recs) < limit && missed <= limit; id-- {
		_, rec, err := r.entry(ctx, id)
		switch {
		case isCode(err, codeNotPresent, codeInvalidField, codeOutOfRange):
			missed++
		case err != nil:
			return recs, err
		case recordID(rec) == id:
			recs = slices.Insert(recs, 0, rec)
		default:
			return recs, nil
		}
	}
	return recs, nil
}

// logComponent is the log as a part of the machine: full, it no longer tells what happens.
func logComponent(info selInfo, l health.LogInfo) health.Component {
	c := health.Component{
		ID: idLog, Class: health.ClassLog, Name: selName, Presence: health.Present, Place: placeSEL, Tier: health.TierEvents,
		State: health.OK, Status: fmt.Sprintf("%d entries, %d bytes free", info.entries, info.free),
	}
	full := health.Condition{Kind: health.KindLogFull, Severity: health.SeverityOK, Evidence: c.Status}
	switch {
	case info.overflow:
		full.Severity, c.State = critical, health.Critical
		full.Evidence = "overflow: events were dropped for lack of room"
	case l.Full:
		full.Severity, c.State = warning, health.Warning
		full.Evidence = "no room left"
	}
	if full.Severity != health.SeverityOK {
		c.Status = full.Evidence
	}
	c.Conditions = []health.Condition{full}
	return c
}

func logReadings(info selInfo) []health.Reading {
	out := []health.Reading{{Component: idLog, Quantity: health.Count, Unit: health.Number, Value: float64(info.entries)}}
	if size := int(info.entries)*16 + int(info.free); size > 0 && info.free != 0xffff { // ffffh: 65535 bytes or more
		out = append(out, health.Reading{
			Component: idLog, Quantity: health.Utilisation, Unit: health.Percent, Value: 100 * float64(int(info.entries)*16) / float64(size),
		})
	}
	return out
}

// selTime is a timestamp of the BMC as a time, zero if it is none: unspecified, or seconds since the BMC's start, for which
// the values up to 20000000h are set aside (section 37).
func selTime(ts uint32) time.Time {
	if ts == 0xffffffff || ts <= 0x20000000 {
		return time.Time{}
	}
	return time.Unix(int64(ts), 0).UTC()
}

// sortedSensors finds the sensor an event speaks of.
func (v *visit) sensorOf(e *health.SELEvent) *part {
	if v.mem.SDR == nil {
		return nil
	}
	owner, lun := uint8(e.Generator), uint8(e.Generator>>8)&3
	i := slices.IndexFunc(v.mem.SDR.sensors, func(p *part) bool {
		return p.key == sensorKey{owner, lun, e.SensorNumber}
	})
	if i >= 0 {
		return v.mem.SDR.sensors[i]
	}
	return nil
}
