package ipmi

import (
	"encoding/json"
	"fmt"

	"dewline/health"
)

// Learned is a memory of this driver in words; false if it is none.
func Learned(raw json.RawMessage) (health.Learned, bool) {
	m, err := loadMemory(raw)
	if len(raw) == 0 || err != nil {
		return health.Learned{}, false
	}
	l := health.Learned{Firmware: m.Firmware}
	fact := func(name, format string, args ...any) {
		l.Facts = append(l.Facts, health.Fact{Name: name, Value: fmt.Sprintf(format, args...)})
	}
	if m.Suite != 0 {
		fact("authentication", "RMCP+ session, cipher suite %d", m.Suite)
	}
	if r := m.SDR; r != nil {
		fact("sdr", "%d records, %d sensors", len(r.Records), len(r.sensors))
		chunk := fmt.Sprintf("%d bytes at once", r.Chunk)
		if r.Chunk == wholeRecord {
			chunk = "whole records"
		}
		fact("sdr_chunk", "%s", chunk)
		stamp := "tells of changes"
		if !r.Stamp.trusted() {
			stamp = "tells of no changes: read again with every inventory"
		}
		fact("sdr_stamp", "%s", stamp)
	}
	if m.FRUChunk != 0 {
		fact("fru_chunk", "%d bytes at once", m.FRUChunk)
	}
	fact("dcmi", "%s", map[int]string{0: "not asked yet", 1: "gives power readings", 2: "gives no power readings"}[m.DCMI])
	if m.DCMILimit != dcmiUnknown {
		fact("dcmi_limit", "%s", map[int]string{dcmiYes: "tells of its power limit", dcmiNo: "tells of no power limit"}[m.DCMILimit])
	}
	fact("thresholds", "known of %d sensors", len(m.Thresholds))
	if s := m.Slow; s != nil {
		l.Slow = append(l.Slow, health.SlowPart{
			Part: "sensors that can wait", Seconds: s.Seconds, Since: s.Since, Members: s.Members, Read: s.Members, Oldest: s.Round,
		})
	}
	if s := m.SlowFRUs; s != nil {
		l.Slow = append(l.Slow, health.SlowPart{Part: "FRU data", Seconds: s.Seconds, Since: s.Since, Members: s.Members, Read: s.Members, Oldest: s.Round})
	}
	return l, true
}
