package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dewline/health"
)

func quarantined(t *testing.T, db *DB) (lines string) {
	t.Helper()
	rows, err := db.Rejected(t.Context(), "influx")
	must(t, err)
	for _, r := range rows {
		if r.ID == 0 || r.At.IsZero() {
			t.Errorf("%+v has no ID or no time", r)
		}
		if lines += r.Line; r.Released {
			lines += "!"
		}
		lines += " "
	}
	return strings.TrimSpace(lines)
}

func ids(t *testing.T, db *DB) (ids []int64) {
	t.Helper()
	rows, err := db.Rejected(t.Context(), "influx")
	must(t, err)
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestQuarantine(t *testing.T) {
	dir := t.TempDir()
	db := openIn(t, dir, Options{})
	rows := []health.Rejected{{Line: "a", Error: "field type conflict", Seq: 1}, {Line: "b", Error: "c", Seq: 2}, {Line: "c", Error: "c", Seq: 2}, {Line: "d", Seq: 9}}
	must(t, db.Quarantine(t.Context(), "influx", rows))
	must(t, db.Quarantine(t.Context(), "influx", rows[:2])) // again: nothing changes
	must(t, db.Quarantine(t.Context(), "other", rows[:1]))
	got, err := db.Rejected(t.Context(), "influx")
	must(t, err)
	for i, r := range got {
		if w := rows[i]; r.Line != w.Line || r.Error != w.Error || r.Seq != w.Seq || r.Released {
			t.Errorf("row %d: %+v", i, r)
		}
	}
	id := ids(t, db)

	changed := db.Changed()
	n, err := db.Release(t.Context(), "influx", []int64{id[2], id[0]})
	must(t, err)
	select {
	case <-changed:
	default:
		t.Error("a release wakes nobody")
	}
	if s := quarantined(t, db); n != 2 || s != "a! b c! d" {
		t.Errorf("%d released: %s", n, s)
	}
	// One that is not there: none is released, none is dropped.
	for _, do := range []func(context.Context, string, []int64) (int, error){db.Release, db.Discard} {
		if _, err := do(t.Context(), "influx", []int64{id[1], 4711}); !errors.Is(err, ErrNotQuarantined) || !strings.Contains(err.Error(), "4711") {
			t.Errorf("error %v", err)
		}
	}
	if s := quarantined(t, db); s != "a! b c! d" {
		t.Errorf("after a release that failed: %s", s)
	}
	must(t, db.Close())
	db = openIn(t, dir, Options{}) // what is released is so after a restart, too
	out, err := db.Released(t.Context(), "influx", 10)
	must(t, err)
	if len(out) != 2 || out[0].Line != "a" || out[1].Line != "c" || out[0].ID != id[0] {
		t.Errorf("released %+v", out)
	}
	if out, err := db.Released(t.Context(), "influx", 1); err != nil || len(out) != 1 || out[0].Line != "a" {
		t.Errorf("the first released: %+v, %v", out, err)
	}
	must(t, db.Settle(t.Context(), "influx", []int64{out[0].ID}, []health.Rejected{{ID: out[1].ID, Error: "still no"}}))
	got, err = db.Rejected(t.Context(), "influx")
	must(t, err)
	if s := quarantined(t, db); s != "b c d" || got[1].Error != "still no" {
		t.Errorf("once settled: %s, %+v", s, got)
	}
	n, err = db.Discard(t.Context(), "influx", []int64{id[3]})
	must(t, err)
	if s := quarantined(t, db); n != 1 || s != "b c" {
		t.Errorf("%d dropped: %s", n, s)
	}
	n, err = db.Release(t.Context(), "influx", nil)
	must(t, err)
	if s := quarantined(t, db); n != 2 || s != "b! c!" {
		t.Errorf("all %d released: %s", n, s)
	}
	n, err = db.Discard(t.Context(), "influx", nil)
	must(t, err)
	if all, err := db.Quarantined(t.Context()); n != 2 || err != nil || all != 1 { // the other sink's
		t.Errorf("all %d dropped, %d are left, %v", n, all, err)
	}
}

func TestTheQuarantineIsBounded(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	var rows []health.Rejected
	for i := range 20 {
		rows = append(rows, health.Rejected{Line: fmt.Sprint(i), Seq: int64(i)})
	}
	must(t, db.Quarantine(t.Context(), "influx", rows))
	_, err := db.Release(t.Context(), "influx", ids(t, db)[:1])
	must(t, err)
	for range 2 { // the second time there is nothing too much
		must(t, db.submit(t.Context(), &op{do: func(ctx context.Context, w *writer) error { return w.boundQuarantine(ctx, "influx", 6) }}))
	}
	if s := quarantined(t, db); s != "0! 15 16 17 18 19" { // what a person wants sent goes last
		t.Errorf("left: %s", s)
	}
	sinks, err := db.Sinks(t.Context())
	must(t, err)
	if len(sinks) != 1 || sinks[0].Dropped != 14 || sinks[0].Cursor != 0 {
		t.Errorf("sinks %+v", sinks)
	}
}

// The bound is applied by Quarantine itself.
func TestAFloodOfRefusedPointsStaysBounded(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{})
	const more = 100
	must(t, db.submit(t.Context(), &op{do: func(ctx context.Context, w *writer) error {
		return w.exec(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO quarantine (key, sink, seq, line, error, at) SELECT CAST(i AS BLOB), 'influx', i, 'hw_fan speed_rpm=1 ' || i, 'no', i FROM n`, MaxQuarantined)
	}}))
	var rows []health.Rejected
	for i := range more {
		rows = append(rows, health.Rejected{Line: fmt.Sprint("hw_psu input_power_watts=1 ", i), Seq: int64(i), Error: "no"})
	}
	must(t, db.Quarantine(t.Context(), "influx", rows))
	n, err := db.Quarantined(t.Context())
	must(t, err)
	sinks, err := db.Sinks(t.Context())
	must(t, err)
	if n != MaxQuarantined || sinks[0].Dropped != more {
		t.Errorf("%d are left, %d went", n, sinks[0].Dropped)
	}
}
