package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"dewline/health"
)

// metaIncidents is up to which event (n) incidents were looked for.
const metaIncidents = "incidents_cursor"

// Incidents is the chosen incidents in the order in which they opened.
func (db *DB) Incidents(ctx context.Context, choose health.IncidentFilter) ([]health.Incident, error) {
	var f filter
	f.add(choose.ID != "", `i.id LIKE ? ESCAPE '\'`, likePrefix(choose.ID))
	f.add(choose.Open, "i.state = ?", string(health.IncidentOpen))
	f.add(choose.Event != "", "EXISTS (SELECT 1 FROM incident_events x WHERE x.incident = i.id AND ? IN (x.event, x.fault))", choose.Event)
	f.add(choose.Target != "", "EXISTS (SELECT 1 FROM json_each(i.detail, '$.targets') t WHERE t.value ->> 'target' = ?)", string(choose.Target))
	f.add(choose.Rack != "", "EXISTS (SELECT 1 FROM json_each(i.detail, '$.racks') r WHERE r.value = ?)", choose.Rack)
	f.add(!choose.Since.IsZero(), "i.changed_ns >= ?", choose.Since.UnixNano())
	f.add(!choose.Until.IsZero(), "i.opened_ns < ?", choose.Until.UnixNano())
	var out []health.Incident
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var i health.Incident
		if err := rows.Scan(fromJSON{&i}); err != nil {
			return err
		}
		out = append(out, i)
		return nil
	}, "SELECT i.detail FROM incidents i "+f.String()+" ORDER BY i.opened_ns, i.id", f.args...)
	if err != nil {
		return nil, fmt.Errorf("read incidents: %w", err)
	}
	return out, nil
}

func likePrefix(s string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(s) + "%"
}

// IncidentCursor is the n of the last event that SaveIncidents was told of, 0 at first.
func (db *DB) IncidentCursor(ctx context.Context) (int64, error) {
	var text string
	err := db.read.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaIncidents).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cursor of incidents: %w", err)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read cursor of incidents: %w", corrupt("%q", text))
	}
	return n, nil
}

// SaveIncidents keeps incidents whole, each in place of what was there of it, which events are evidence of which, and up to
// which event they were looked for: all of it or nothing. It is on disk when it returns. An event that belongs to an incident
// already stays there.
func (db *DB) SaveIncidents(ctx context.Context, cursor int64, changed []health.Incident, members []health.IncidentMember) error {
	err := db.submit(ctx, &op{do: func(ctx context.Context, w *writer) error {
		for i := range changed {
			x := &changed[i]
			if err := w.exec(ctx, `INSERT INTO incidents (id, state, opened_ns, changed_ns, detail) VALUES (?1, ?2, ?3, ?4, ?5)
				ON CONFLICT (id) DO UPDATE SET state = ?2, opened_ns = ?3, changed_ns = ?4, detail = ?5`,
				x.ID, string(x.State), x.Opened.UnixNano(), x.Changed.UnixNano(), asJSON(x)); err != nil {
				return fmt.Errorf("incident %s: %w", x.ID, err)
			}
		}
		for _, m := range members {
			if err := w.exec(ctx, "INSERT INTO incident_events (event, fault, incident) VALUES (?, ?, ?) ON CONFLICT (event) DO NOTHING",
				m.Event, m.Fault, m.Incident); err != nil {
				return fmt.Errorf("evidence %s of incident %s: %w", m.Event, m.Incident, err)
			}
		}
		return w.setMeta(ctx, metaIncidents, strconv.FormatInt(cursor, 10))
	}})
	if err != nil {
		return fmt.Errorf("keep incidents: %w", err)
	}
	return nil
}

// IncidentMembers is the events with a number above n that are evidence of an incident, and of which.
func (db *DB) IncidentMembers(ctx context.Context, n int64) (map[string]string, error) {
	out := map[string]string{}
	err := each(ctx, db.read, func(rows *sql.Rows) error {
		var event, incident string
		err := rows.Scan(&event, &incident)
		out[event] = incident
		return err
	}, "SELECT x.event, x.incident FROM incident_events x JOIN events e ON e.id = x.event WHERE e.n > ?", n)
	if err != nil {
		return nil, fmt.Errorf("read evidence of incidents: %w", err)
	}
	return out, nil
}

// EventsFrom is up to limit committed events with a number above n, in order of commit.
func (db *DB) EventsFrom(ctx context.Context, n int64, limit int) ([]health.NumberedEvent, error) {
	return db.numbered(ctx, "WHERE e.n > ? ORDER BY e.n LIMIT ?", n, limit)
}

// EventsUpTo is the up to limit last committed events with a number of n or below, in order of commit.
func (db *DB) EventsUpTo(ctx context.Context, n int64, limit int) ([]health.NumberedEvent, error) {
	return db.numbered(ctx, "WHERE e.n > ? AND e.n <= ? ORDER BY e.n", max(0, n-int64(limit)), n)
}

func (db *DB) numbered(ctx context.Context, where string, args ...any) ([]health.NumberedEvent, error) {
	var out []health.NumberedEvent
	err := db.snapshotTx(ctx, func(tx *sql.Tx) error {
		var ns []int64
		if err := each(ctx, tx, func(rows *sql.Rows) error {
			var n int64
			err := rows.Scan(&n)
			ns = append(ns, n)
			return err
		}, "SELECT e.n FROM events e "+where, args...); err != nil {
			return err
		}
		if err := eachEvent(ctx, tx, func(_ int64, e *health.Event) error {
			out = append(out, health.NumberedEvent{Event: *e})
			return nil
		}, where, args...); err != nil {
			return err
		}
		if len(out) != len(ns) {
			return corrupt("%d events, %d of them of a target", len(ns), len(out))
		}
		for i, n := range ns {
			out[i].N = n
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read events in order: %w", err)
	}
	return out, nil
}
