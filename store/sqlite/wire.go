package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCorrupt is wrapped by every error that says stored bytes are not what was written.
var ErrCorrupt = errors.New("store is damaged")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// wire reads what the append functions wrote. After the first error every read gives zero, so that callers check once.
type wire struct {
	b   []byte
	err error
}

func (w *wire) fail(what string) {
	if w.err == nil {
		w.err = corrupt("%s", what)
	}
	w.b = nil
}

func (w *wire) byte() byte {
	if len(w.b) == 0 {
		w.fail("cut short")
		return 0
	}
	c := w.b[0]
	w.b = w.b[1:]
	return c
}

func (w *wire) uint() uint64 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		w.fail("bad number")
		return 0
	}
	w.b = w.b[n:]
	return v
}

func (w *wire) int() int64 {
	u := w.uint()
	return int64(u>>1) ^ -int64(u&1)
}

// ints reads as many numbers as v has. Most are small: eight of one byte are taken at once.
func (w *wire) ints(v []int64) {
	b, n := w.b, 0
	for i := 0; i < len(v); {
		if i+8 <= len(v) && n+8 <= len(b) {
			if x := binary.LittleEndian.Uint64(b[n:]); x&0x8080808080808080 == 0 {
				some := v[i : i+8 : i+8]
				for k := range some {
					u := x & 0x7f
					some[k] = int64(u>>1) ^ -int64(u&1)
					x >>= 8
				}
				i, n = i+8, n+8
				continue
			}
		}
		u, size := uint64(0), 1
		switch {
		case n >= len(b):
			w.fail("cut short")
			return
		case b[n] < 0x80:
			u = uint64(b[n])
		case n+1 < len(b) && b[n+1] < 0x80:
			u, size = uint64(b[n]&0x7f)|uint64(b[n+1])<<7, 2
		default:
			if u, size = binary.Uvarint(b[n:]); size <= 0 {
				w.fail("bad number")
				return
			}
		}
		v[i] = int64(u>>1) ^ -int64(u&1)
		i, n = i+1, n+size
	}
	w.b = b[n:]
}

// count reads a number of things of which there are at most limit.
func (w *wire) count(limit int) int {
	v := w.uint()
	if v > uint64(limit) {
		w.fail("count out of range")
		return 0
	}
	return int(v)
}

func (w *wire) take(n int) []byte {
	if n < 0 || n > len(w.b) {
		w.fail("cut short")
		return nil
	}
	b := w.b[:n:n]
	w.b = w.b[n:]
	return b
}

func (w *wire) bytes() []byte { return w.take(w.count(len(w.b))) }
func (w *wire) str() string   { return string(w.bytes()) }

// end is the error met, or that bytes are left over.
func (w *wire) end() error {
	if w.err == nil && len(w.b) != 0 {
		w.fail("bytes left over")
	}
	return w.err
}

func appendInt(b []byte, v int64) []byte {
	return binary.AppendUvarint(b, zigzag(v))
}

func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// words that stand in nearly every visit, by number. Part of the format: only appended to.
var words = [...]string{
	"", "redfish", "ipmi", "auto", "done", "late", "failed", "missed", "demo", "sim", "replay", "denied", "unreachable",
	"timeout", "tls", "unsupported", "not_found", "malformed", "too_large", "budget", "busy", "server_error", "stopped",
	"not_running", "overrun", "back_off",
}

func appendWord[T ~string](b []byte, s T) []byte {
	for i, w := range words {
		if w == string(s) {
			return append(b, byte(i)+1)
		}
	}
	return appendBytes(append(b, 0), string(s))
}

func readWord[T ~string](w *wire) T {
	n := w.byte()
	switch {
	case n == 0:
		return T(w.str())
	case int(n) <= len(words):
		return T(words[n-1])
	}
	w.fail("unknown word")
	return ""
}

// appendRuns writes dictionary numbers as runs of consecutive ones: a visit that read what the first one read is one run.
func appendRuns(b []byte, ids []uint32) []byte {
	var runs uint64
	at := len(b)
	next := int64(0)
	for i := 0; i < len(ids); {
		j := i + 1
		for j < len(ids) && ids[j] == ids[j-1]+1 {
			j++
		}
		b = appendInt(b, int64(ids[i])-next)
		b = binary.AppendUvarint(b, uint64(j-i))
		next = int64(ids[j-1]) + 1
		runs++
		i = j
	}
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], runs)
	b = append(b, head[:n]...)
	copy(b[at+n:], b[at:len(b)-n])
	copy(b[at:], head[:n])
	return b
}

// maxDictionary bounds the numbers of one target's dictionary, and so the parts or series of one visit.
const maxDictionary = 1 << 20

// readRuns reads at most limit numbers.
func readRuns(w *wire, limit int) []uint32 { return readRunsInto(nil, w, limit) }

// readRunsInto appends them to ids.
func readRunsInto(ids []uint32, w *wire, limit int) []uint32 {
	runs := w.count(min(limit, len(w.b)))
	limit += len(ids)
	next := int64(0)
	for range runs {
		first := next + w.int()
		n := w.count(limit - len(ids))
		if w.err != nil || n == 0 || first < 0 || first+int64(n) > maxDictionary {
			w.fail("bad run")
			return nil
		}
		for i := range n {
			ids = append(ids, uint32(first)+uint32(i))
		}
		next = first + int64(n)
	}
	return ids
}
