package ipmi

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Bounds of what a BMC may make us keep.
const (
	maxRecords      = 2048
	maxRecordBytes  = 5 + 255
	maxRecordsBytes = 256 << 10
	memoryVersion   = 1
)

// memory is what was learned of a BMC and holds until it changes: it comes back with the next visit, also after a restart.
type memory struct {
	Version int `json:"v"`
	// Firmware that the rest was learned of, "" before it was asked.
	Firmware string `json:"fw,omitempty"`
	Suite    int    `json:"suite,omitempty"` // cipher suite that worked
	// Device is who the BMC says it is, nil before it was asked.
	Device *device `json:"device,omitempty"`
	// SDR is the repository as read, nil before.
	SDR *repository `json:"sdr,omitempty"`
	// Thresholds in force by sensor, as Get Sensor Thresholds gave them: the mask of the readable ones, then the six raw values.
	Thresholds map[string][7]uint8 `json:"thresholds,omitempty"`
	// Leaks is how each detector of unknown polarity stood when first seen.
	Leaks map[string]uint16 `json:"leaks,omitempty"`
	// DCMI: 0 not asked, 1 gives power readings, 2 does not.
	DCMI int `json:"dcmi,omitempty"`
	// DCMILimit: 0 not asked, 1 tells of its power limit, 2 does not.
	DCMILimit int `json:"dcmi_limit,omitempty"`
	// FRUChunk is how many bytes of FRU data the BMC returns at once, 0 before it was asked.
	FRUChunk int `json:"fru_chunk,omitempty"`
	// Slow: its sensors are read in turn; nil: all of them with every readings visit.
	Slow *slowSensors `json:"slow,omitempty"`
	// SlowFRUs: its FRU devices are read in turn; nil: all of them with every inventory.
	SlowFRUs *slowFRUs `json:"slow_frus,omitempty"`
	// FirstLog bounds the next attempt at the first reading of the log, after one that was cut off; 0 if none was.
	FirstLog int `json:"first_log,omitempty"`
}

// under takes in which firmware the BMC runs, and reports whether that makes what was learned old: what a firmware does is
// then tried anew. How its detectors stood when first seen is no matter of firmware.
func (m *memory) under(firmware string) (changed bool) {
	if firmware == "" || firmware == m.Firmware {
		return false
	}
	changed = m.Firmware != ""
	m.Firmware = firmware
	if changed {
		m.DCMI, m.DCMILimit, m.FRUChunk, m.Slow, m.SlowFRUs = 0, 0, 0, nil, nil
		if m.SDR != nil {
			m.SDR.Chunk, m.SDR.Stamp = wholeRecord, stamp{} // read again at the next comparison
		}
	}
	return changed
}

// repository is the sensor data records of a BMC.
type repository struct {
	// Stamp changes whenever the repository does: last addition and last erase, or a device's change indicator.
	Stamp stamp  `json:"stamp"`
	Chunk int    `json:"chunk"`          // bytes to ask for at once: 255 is a whole record
	Next  uint16 `json:"next,omitempty"` // where reading was cut off; 0 if it was not
	Bad   int    `json:"bad,omitempty"`  // records that could not be read or decoded
	// Churn counts the comparisons in a row that found the BMC's repository to be another one.
	Churn   int     `json:"churn,omitempty"`
	Records records `json:"records"`

	sensors []*part
	frus    []locator
	packed  json.RawMessage // Records as JSON: they do not change, and compressing them at every visit would cost more than it
}

// MarshalJSON keeps the packed records for the next time.
func (r *repository) MarshalJSON() ([]byte, error) {
	if r.packed == nil {
		b, err := json.Marshal(r.Records)
		if err != nil {
			return nil, err
		}
		r.packed = b
	}
	type plain repository
	return json.Marshal(struct {
		*plain
		Records json.RawMessage `json:"records"`
	}{(*plain)(r), r.packed})
}

type stamp struct {
	Device bool   `json:"device,omitempty"` // device SDRs: there is no repository
	Count  uint16 `json:"count"`
	Add    uint32 `json:"add"`
	Erase  uint32 `json:"erase"`
}

// trusted tells whether the stamp can show a change: some BMCs keep no times.
func (s stamp) trusted() bool { return s.Device || s.Add != 0 && s.Add != 0xffffffff }

// records are raw data records. In JSON they are one base64 text: length-prefixed, compressed.
type records [][]byte

func (r records) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	for _, b := range r {
		var n [2]byte
		binary.LittleEndian.PutUint16(n[:], uint16(len(b)))
		if _, err := w.Write(append(n[:], b...)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return json.Marshal(buf.Bytes())
}

var errMemory = errors.New("memory of another kind")

func (r *records) UnmarshalJSON(b []byte) error {
	var packed []byte
	if err := json.Unmarshal(b, &packed); err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxRecordsBytes))
	if err != nil {
		return fmt.Errorf("unpack records: %w", err)
	}
	*r = nil
	for len(raw) > 0 {
		if len(raw) < 2 {
			return errMemory
		}
		n := int(binary.LittleEndian.Uint16(raw))
		if n > maxRecordBytes || len(raw) < 2+n || len(*r) >= maxRecords {
			return errMemory
		}
		*r = append(*r, bytes.Clone(raw[2:2+n]))
		raw = raw[2+n:]
	}
	return nil
}

// loadMemory reads what an earlier visit kept. What cannot be read is as if nothing had been learned: it will be again.
func loadMemory(raw json.RawMessage) (*memory, error) {
	m := &memory{Version: memoryVersion}
	if len(raw) == 0 {
		return m, nil
	}
	var got memory
	if err := json.Unmarshal(raw, &got); err != nil {
		return m, fmt.Errorf("read memory: %w", err)
	}
	if got.Version != memoryVersion {
		return m, fmt.Errorf("read memory: %w: version %d", errMemory, got.Version)
	}
	if s := got.Slow; s != nil && (!(s.Seconds > 0) || s.Members < 0 || s.Members > maxRecords) {
		got.Slow = nil
	}
	if s := got.SlowFRUs; s != nil && (!(s.Seconds > 0) || s.Members < 0 || s.Members > maxFRUs) {
		got.SlowFRUs = nil
	}
	if got.SDR != nil {
		if got.SDR.Chunk < minChunk || got.SDR.Chunk > wholeRecord {
			got.SDR.Chunk = wholeRecord
		}
		for _, rec := range got.SDR.Records {
			if _, err := decodeRecord(rec); err != nil {
				got.SDR = nil
				return &got, fmt.Errorf("read memory: %w", err)
			}
		}
		got.SDR.Bad, got.SDR.Churn = max(got.SDR.Bad, 0), max(got.SDR.Churn, 0)
		got.SDR.build()
	}
	return &got, nil
}
