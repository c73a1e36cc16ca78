package ipmi

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"dewline/health"
)

// Places of components, and the cursor's key.
const (
	placeSDR     = "sdr"
	placeChassis = "chassis"
	placeSEL     = "sel"
	placeFRU     = "fru"
	placeDCMI    = "dcmi"
	placeClock   = "clock"
)

const (
	wholeRecord = 255
	minChunk    = 8
	// reservationTries bounds how often a reservation that others cancel is taken again while one repository is read.
	reservationTries = 8
	// holeTries is how many record IDs are guessed past one that cannot be read, since its successor is not known then.
	holeTries = 8
	// partTries bounds the requests for one record: a BMC may give a byte at a time, or none of what it was asked for.
	partTries = 64
	// churnLimit is how many comparisons in a row may find another repository before it is read again with the inventory only.
	churnLimit = 3
)

// sdrReader reads a repository, or a device's own records, which answer the same commands under other numbers.
type sdrReader struct {
	c           caller
	device      bool
	chunk       int
	reservation uint16
	reserved    bool
	tries       int
}

func (r *sdrReader) netFn() uint8 {
	if r.device {
		return netFnSensor
	}
	return netFnStorage
}

// sdrStamp asks for the state of the repository (section 33.9), or of the device's own records (section 35.2) if there is none.
func sdrStamp(ctx context.Context, c caller) (stamp, error) {
	b, err := c.call(ctx, command{op: "get SDR repository info", netFn: netFnStorage, cmd: 0x20, want: 14})
	if err == nil {
		s := stamp{Count: binary.LittleEndian.Uint16(b[1:]), Add: binary.LittleEndian.Uint32(b[5:]), Erase: binary.LittleEndian.Uint32(b[9:])}
		if s.Count > 0 {
			return s, nil
		}
	} else if !isCode(err, codeInvalidCommand, codeInvalidForLUN, codeInvalidField, codeSubDisabled, codeNotPresent) {
		return stamp{}, err
	}
	d, derr := c.call(ctx, command{op: "get device SDR info", netFn: netFnSensor, cmd: 0x20, data: []byte{1}, want: 2})
	if derr != nil {
		if err == nil && isCode(derr, codeInvalidCommand, codeInvalidForLUN, codeInvalidField, codeSubDisabled) {
			return stamp{}, nil // an empty repository, truly
		}
		return stamp{}, derr
	}
	s := stamp{Device: true, Count: uint16(d[0])}
	if len(d) >= 6 {
		s.Add = binary.LittleEndian.Uint32(d[2:])
	}
	return s, nil
}

func (r *sdrReader) reserve(ctx context.Context) error {
	if r.tries++; r.tries > reservationTries {
		return &health.Error{Reason: health.ReasonBusy, Op: "reserve SDR repository", Err: fmt.Errorf("cancelled %d times", reservationTries)}
	}
	b, err := r.c.call(ctx, command{op: "reserve SDR repository", netFn: r.netFn(), cmd: 0x22, want: 2})
	switch {
	case err == nil:
		r.reservation = binary.LittleEndian.Uint16(b)
	case isCode(err, codeInvalidCommand, codeInvalidForLUN, codeSubDisabled): // 0 then works without
		r.reservation = 0
	default:
		return err
	}
	r.reserved = true
	return nil
}

// part of a record (section 33.12): the ID of the next record and the bytes.
func (r *sdrReader) part(ctx context.Context, id uint16, offset, count int) (uint16, []byte, error) {
	for {
		var reservation uint16
		if offset > 0 || count < wholeRecord { // a whole record needs none
			if !r.reserved {
				if err := r.reserve(ctx); err != nil {
					return 0, nil, err
				}
			}
			reservation = r.reservation
		}
		cmd := uint8(0x23)
		if r.device {
			cmd = 0x21
		}
		d := binary.LittleEndian.AppendUint16(nil, reservation)
		d = binary.LittleEndian.AppendUint16(d, id)
		d = append(d, byte(offset), byte(count))
		b, err := r.c.call(ctx, command{op: fmt.Sprintf("get SDR 0x%04x", id), netFn: r.netFn(), cmd: cmd, data: d, want: 2})
		if isCode(err, codeReservation) {
			r.reserved = false
			if err := r.reserve(ctx); err != nil {
				return 0, nil, err
			}
			continue
		}
		if err != nil {
			return 0, nil, err
		}
		if count < len(b)-2 {
			b = b[:2+count]
		}
		return binary.LittleEndian.Uint16(b), b[2:], nil
	}
}

// tooMuch tells whether a BMC refused the number of bytes asked for, in one of the ways BMCs do.
func tooMuch(err error) bool {
	return isCode(err, codeCannotReturn, codeLengthInvalid, codeLengthLimit, codeOutOfRange, codeNotProvided, codeUnspecified)
}

// record reads one record: whole if the BMC can, else in chunks, whose size is learned.
func (r *sdrReader) record(ctx context.Context, id uint16) (next uint16, rec []byte, err error) {
	next, rec, err = r.part(ctx, id, 0, r.chunk)
	for tooMuch(err) && r.chunk > minChunk {
		old := r.chunk
		if r.chunk == wholeRecord {
			r.chunk = 64
		}
		r.chunk = max(r.chunk/2, minChunk)
		next, rec, err = r.part(ctx, id, 0, r.chunk)
		if tooMuch(err) && r.chunk <= minChunk { // it was not the number: this record has another fault
			r.chunk = old
			return 0, nil, err
		}
	}
	if err != nil {
		return 0, nil, err
	}
	if len(rec) < 5 {
		return next, nil, fmt.Errorf("%w: %d bytes", errRecord, len(rec))
	}
	total := 5 + int(rec[4])
	rec = rec[:min(len(rec), total)]
	chunk := r.chunk
	for tries := 0; len(rec) < total; tries++ {
		if tries >= partTries {
			return next, nil, fmt.Errorf("%w: %d of %d bytes in %d parts", errRecord, len(rec), total, tries)
		}
		_, b, err := r.part(ctx, id, len(rec), min(r.chunk, total-len(rec), wholeRecord-1))
		if tooMuch(err) && r.chunk > minChunk {
			r.chunk = max(min(r.chunk, 64)/2, minChunk)
			continue
		}
		if err == nil && len(b) == 0 || tooMuch(err) {
			if short, ok := shorter(rec); ok {
				r.chunk = chunk
				return next, short, nil
			}
		}
		if err != nil {
			return next, nil, err
		}
		if len(b) == 0 {
			return next, nil, fmt.Errorf("%w: ends after %d of %d bytes", errRecord, len(rec), total)
		}
		rec = append(rec, b...)
	}
	return next, rec, nil
}

// shorter is a record that claims more bytes than the BMC has of it (HP DL585 G7), with its true length: if all that its type
// needs is there, its name too.
func shorter(rec []byte) ([]byte, bool) {
	at, ok := map[uint8]int{recordFull: 47, recordCompact: 31, recordEventOnly: 16, recordFRULocator: 15, recordMCLocator: 15}[rec[3]]
	if !ok || len(rec) <= at || len(rec) < at+1+int(rec[at]&0x1f) {
		return nil, false
	}
	rec = slices.Clone(rec)
	rec[4] = uint8(len(rec) - 5)
	_, err := decodeRecord(rec)
	return rec, err == nil
}

// readRepository reads all records, or goes on where an earlier visit was cut off. What one bad record costs is that record.
func readRepository(ctx context.Context, c caller, st stamp, from *repository) (*repository, []health.Gap, error) {
	repo := &repository{Stamp: st, Chunk: wholeRecord}
	var id uint16
	if from != nil {
		repo.Chunk = from.Chunk
		if from.Next != 0 && from.Stamp == st {
			id, repo.Bad, repo.Records = from.Next, from.Bad, slices.Clone(from.Records)
		}
	}
	r := &sdrReader{c: c, device: st.Device, chunk: repo.Chunk}
	var gaps []health.Gap
	seen := map[uint16]bool{}
	bytes, holes := 0, 0
	// whole: as many records as the BMC counts. What its chain says then is no news (an Inspur board's never ends).
	whole := func() bool { return st.Count > 0 && len(repo.Records) >= int(st.Count) }
	for _, rec := range repo.Records {
		bytes += len(rec)
	}
	for {
		if len(repo.Records)+repo.Bad >= maxRecords || bytes >= maxRecordsBytes/2 {
			gaps = append(gaps, health.Gap{
				Part: fmt.Sprintf("SDR records from 0x%04x", id), Reason: health.ReasonTooLarge,
				Error: fmt.Sprintf("%d records of %d bytes are as many as are kept; the BMC counts %d", len(repo.Records), bytes, st.Count),
			})
			repo.Bad++
			break
		}
		if seen[id] && whole() {
			break
		}
		if seen[id] {
			gaps = append(gaps, health.Gap{Part: fmt.Sprintf("SDR record 0x%04x", id), Reason: health.ReasonMalformed, Error: "the chain of records leads back to this one"})
			repo.Bad++
			break
		}
		seen[id] = true
		next, rec, err := r.record(ctx, id)
		repo.Chunk = r.chunk
		if err != nil && !isAnyCode(err) && !isRecordError(err) { // nothing more can be heard: go on here next time
			repo.Next = id
			repo.build()
			return repo, gaps, err
		}
		if err == nil {
			if _, err = decodeRecord(rec); err == nil {
				holes = 0
				repo.Records = append(repo.Records, rec)
				bytes += len(rec)
			}
		}
		if err != nil && id != 0 && whole() {
			break
		}
		if isCode(err, codeTimeout) && len(repo.Records)+repo.Bad+1 == int(st.Count) {
			// The last record of a Dell FC830 never comes. It is told, and the repository is whole without it.
			gaps = append(gaps, health.Gap{Part: fmt.Sprintf("SDR record 0x%04x, the last", id), Reason: recordReason(err), Error: clip(err.Error())})
			break
		}
		if err != nil && (holes == 0 || !isCode(err, codeNotPresent)) {
			repo.Bad++
			gaps = append(gaps, health.Gap{Part: fmt.Sprintf("SDR record 0x%04x", id), Reason: recordReason(err), Error: clip(err.Error())})
		}
		if err != nil && next == 0 { // its successor is not known; IDs mostly count up
			if holes++; holes > holeTries || id >= 0xfffe || len(repo.Records)+repo.Bad >= int(st.Count) {
				break
			}
			next = id + 1
		}
		if next == 0 && len(repo.Records)+repo.Bad < int(st.Count) {
			gaps = append(gaps, health.Gap{
				Part: fmt.Sprintf("SDR records after 0x%04x", id), Reason: health.ReasonMalformed,
				Error: fmt.Sprintf("the chain of records breaks off after %d of %d", len(repo.Records)+repo.Bad, st.Count),
			})
			repo.Bad++
		}
		if next == 0xffff || next == 0 {
			break
		}
		id = next
	}
	repo.build()
	return repo, gaps, nil
}

// build decodes the records into sensors with their classes and names, and FRU locators.
func (r *repository) build() {
	r.sensors, r.frus, r.packed = nil, nil, nil
	var found []sensor
	seen := map[sensorKey]int{}
	for _, rec := range r.Records {
		d, err := decodeRecord(rec)
		if err != nil {
			continue
		}
		for _, s := range d.sensors {
			// Two records may describe one sensor: a reading record beats an event-only one.
			if i, ok := seen[s.key]; ok {
				if found[i].eventOnly && !s.eventOnly {
					found[i] = s
				}
				continue
			}
			seen[s.key] = len(found)
			found = append(found, s)
		}
		if d.fru != nil && !slices.ContainsFunc(r.frus, func(l locator) bool { return l.fru == d.fru.fru }) {
			r.frus = append(r.frus, *d.fru)
		}
	}
	for _, s := range found {
		r.sensors = append(r.sensors, newPart(s))
	}
	nameParts(r.sensors)
}
