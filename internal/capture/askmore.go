package capture

import (
	"context"
	"encoding/binary"
	"slices"
)

// maxFRUImage bounds what is read of one FRU device beyond its areas: the specification's areas end at 2040 bytes.
const maxFRUImage = 4096

// AskMore asks an IPMI BMC for what a visit does not read and a bug may hide in: FRU devices whole, thresholds of all
// sensors, what DCMI can do. Ask goes through the journal's tap.
func AskMore(ctx context.Context, j *Journal, ask Exchanger) ([]NotRead, error) {
	crawl := NewCrawl("", 0) // only counts
	var last error
	try := func(netFn, cmd, lun uint8, data ...byte) ([]byte, bool) {
		if last != nil {
			return nil, false
		}
		code, b, err := ask(ctx, netFn, cmd, lun, data)
		if err != nil && (ctx.Err() != nil || j.Err() != nil) {
			last = err
			if j.Err() != nil {
				last = j.Err()
			}
		}
		return b, err == nil && code == 0
	}
	try(fnApp, 0x01, 0)
	try(fnApp, 0x08, 0)
	try(fnStorage, 0x41, 0)
	for parameter := byte(1); parameter <= 5; parameter++ {
		try(fnGroup, 0x01, 0, 0xdc, parameter)
	}
	m := structure(j.exchanges())
	for _, r := range m.SDR {
		if d := r.Data; len(d) > 13 && d[3] == 0x01 && d[13] == 0x01 { // a full record of a sensor with thresholds
			try(fnSensor, 0x27, d[6]&3, d[7])
			try(fnSensor, 0x25, d[6]&3, d[7], 0xff)
		}
	}
	for _, id := range fruDevices(m) {
		info, ok := try(fnStorage, 0x10, 0, id)
		if !ok || len(info) < 3 {
			continue
		}
		size, unit := int(binary.LittleEndian.Uint16(info)), 1
		if info[2]&1 != 0 {
			unit = 2
		}
		if size > maxFRUImage {
			crawl.Skip("FRU data behind the first 4096 bytes of a device", "no areas of the specification")
			size = maxFRUImage
		}
		have := make([]bool, size)
		for _, f := range m.FRU {
			if f.ID == id {
				_, got := f.image()
				copy(have, got)
			}
		}
		chunk := 16
		if m.FRULimit.Refused > 0 {
			chunk = max(min(chunk, m.FRULimit.Refused-1), unit)
		}
		for at := 0; at < size && last == nil; {
			if have[at] {
				at++
				continue
			}
			at -= at % unit
			n := min(chunk, size-at)
			b, ok := try(fnStorage, 0x11, 0, id, byte(at/unit), byte(at/unit>>8), byte((n+unit-1)/unit))
			if !ok || len(b) < 2 || b[0] == 0 {
				crawl.Skip("FRU data that a device does not give", "refused")
				break
			}
			at += max(int(b[0])*unit, 1)
		}
	}
	return crawl.NotRead(), last
}

// exchanges are all of them, in order.
func (j *Journal) exchanges() []*Exchange {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []*Exchange
	for _, k := range j.keys {
		out = append(out, j.answers[k])
	}
	return out
}

// fruDevices are device 0 and those that records locate at the BMC itself.
func fruDevices(m *IPMI) []uint8 {
	ids := []uint8{0}
	for _, r := range m.SDR {
		if d := r.Data; len(d) > 7 && d[3] == 0x11 && d[7]&0x80 != 0 && !slices.Contains(ids, d[6]) && len(ids) < 32 {
			ids = append(ids, d[6])
		}
	}
	return ids
}
