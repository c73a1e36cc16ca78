package sqlite

import (
	"encoding/json"
	"time"

	"dewline/health"
)

// ns is a time of ours as a column holds it: nil for the zero time and for one that no such column can hold.
func ns(t time.Time) any {
	if !storable(t) { // the zero time is not
		return nil
	}
	return t.UnixNano()
}

// nsTime scans a column of nanoseconds.
type nsTime struct{ t *time.Time }

func (n nsTime) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*n.t = time.Time{}
	case int64:
		*n.t = time.Unix(0, v).UTC()
	default:
		return corrupt("time is a %T", v)
	}
	return nil
}

// bmcTime is a time that a BMC stated, offset included.
func bmcTime(t time.Time) string {
	if t.IsZero() || t.Year() < 0 || t.Year() > 9999 {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

type bmcTimeOf struct{ t *time.Time }

func (b bmcTimeOf) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return corrupt("time is a %T", v)
	}
	if s == "" {
		*b.t = time.Time{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return corrupt("%v", err)
	}
	if _, offset := t.Zone(); offset == 0 {
		t = t.UTC()
	}
	*b.t = t
	return nil
}

// text scans a word of a closed list.
type text[T interface{ UnmarshalText([]byte) error }] struct{ to T }

func (x text[T]) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return corrupt("word is a %T", v)
	}
	if err := x.to.UnmarshalText([]byte(s)); err != nil {
		return corrupt("%v", err)
	}
	return nil
}

func textOf[T interface{ UnmarshalText([]byte) error }](to T) text[T] { return text[T]{to} }

// fromJSON scans a column of JSON.
type fromJSON struct{ to any }

func (j fromJSON) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return corrupt("JSON is a %T", v)
	}
	if err := json.Unmarshal([]byte(s), j.to); err != nil {
		return corrupt("%v", err)
	}
	return nil
}

// asJSON is for values that always can be JSON: no floats, no cycles.
func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "null"
	}
	return string(b)
}

// stringList is a list of strings as JSON, "[]" for none.
func stringList(l []string) string {
	if len(l) == 0 {
		return "[]"
	}
	return asJSON(l)
}

// listOf scans a list of strings; none is nil.
type listOf struct{ to *[]string }

func (l listOf) Scan(v any) error {
	if err := (fromJSON{l.to}).Scan(v); err != nil {
		return err
	}
	if len(*l.to) == 0 {
		*l.to = nil
	}
	return nil
}

// blob is b, and not NULL when there is none.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func appendSEL(e *health.SELEvent) []byte {
	if e == nil {
		return nil
	}
	var deassert byte
	if e.Deassert {
		deassert = 1
	}
	return []byte{
		e.RecordType, byte(e.Generator), byte(e.Generator >> 8), e.SensorType, e.SensorNumber, e.EventType, deassert,
		e.Data[0], e.Data[1], e.Data[2],
	}
}

func readSEL(b []byte) (*health.SELEvent, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) != 10 {
		return nil, corrupt("SEL event of %d bytes", len(b))
	}
	return &health.SELEvent{
		RecordType: b[0], Generator: uint16(b[1]) | uint16(b[2])<<8, SensorType: b[3], SensorNumber: b[4], EventType: b[5],
		Deassert: b[6] != 0, Data: [3]byte(b[7:]),
	}, nil
}
