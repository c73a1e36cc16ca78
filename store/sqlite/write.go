package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"dewline/health"
)

const hour = int64(time.Hour)

// hourOf is the hour, counted from 1970, that a time in nanoseconds is in.
func hourOf(ns int64) int64 {
	h := ns / hour
	if ns%hour < 0 {
		h--
	}
	return h
}

// visit writes what a prepared visit brought and gives its seq: a new one, or the one it has already.
func (w *writer) visit(ctx context.Context, v *health.Visit) (int64, error) {
	t, err := w.target(ctx, v)
	if err != nil {
		return 0, err
	}
	at := v.At().UnixNano()
	h := hourOf(at)
	if seq, err := w.recorded(ctx, t, v.ID, h); err != nil || seq != 0 {
		return seq, err
	}
	w.seq++
	f, err := w.frame(ctx, t, v)
	if err != nil {
		return 0, err
	}
	f.seq = w.seq
	for _, x := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO visits (seq, target, hour) VALUES (?, ?, ?)", []any{w.seq, t.n, h}},
		{"INSERT INTO fresh (seq, hour, target, id, data) VALUES (?, ?, ?, ?, ?)",
			[]any{w.seq, h, t.n, v.ID, encodeFrames([]*frame{f}, false)}},
		{`INSERT INTO latest (target, seq, at) VALUES (?1, ?2, ?3)
			ON CONFLICT DO UPDATE SET seq = ?2, at = max(at, ?3)`, []any{t.n, w.seq, at}},
	} {
		if err := w.exec(ctx, x.query, x.args...); err != nil {
			return 0, err
		}
	}
	if s := v.Snapshot; s != nil {
		for i := range s.Log {
			if err := w.logEntry(ctx, t, &s.Log[i]); err != nil {
				return 0, fmt.Errorf("log entry %q: %w", s.Log[i].ID, err)
			}
		}
		if err := w.thresholds(ctx, t, s.Readings, f.shape.series); err != nil {
			return 0, err
		}
	}
	for i := range v.Events {
		if err := w.event(ctx, t, cmp.Or(v.Events[i].ID, fmt.Sprintf("%s/%d", v.ID, i)), &v.Events[i]); err != nil {
			return 0, fmt.Errorf("event %q: %w", v.Events[i].ID, err)
		}
	}
	if err := w.delta(ctx, t, &v.Delta); err != nil {
		return 0, err
	}
	return w.seq, nil
}

// recorded is the seq of a visit that is recorded already, else 0.
func (w *writer) recorded(ctx context.Context, t *writerTarget, id string, h int64) (int64, error) {
	seq, err := w.number(ctx, "SELECT seq FROM fresh WHERE id = ? AND target = ?", id, t.n)
	if err != nil || seq != 0 || h >= w.closed {
		return seq, err
	}
	// Its hour is closed: the ID stands in a block, if anywhere.
	frames, err := w.db.blockFrames(ctx, w, t.n, h)
	if errors.Is(err, ErrCorrupt) {
		return 0, nil // a lost file keeps no visit out: if it stands there too, compaction finds the two when the file is back
	} else if err != nil {
		return 0, err
	}
	for _, f := range frames {
		if f.visitID(t.name) == id {
			return f.seq, nil
		}
	}
	return 0, nil
}

// number is the single integer a query gives, 0 for none.
func (w *writer) number(ctx context.Context, query string, args ...any) (int64, error) {
	s, err := w.stmt(ctx, query)
	if err != nil {
		return 0, err
	}
	var n int64
	if err := s.QueryRowContext(ctx, args...).Scan(&n); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, err
	}
	return n, nil
}

func (w *writer) logEntry(ctx context.Context, t *writerTarget, e *health.LogEntry) error {
	// An entry that was read before (a lost cursor, another way to the same log) is there already, and stays as it was.
	return w.exec(ctx, `INSERT INTO log_entries (key, seq, target, source, generation, entry, entry_key, raw, created, observed,
		severity, message, message_id, args, component, origin, kind, cleared, sel)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING`,
		health.LogEventID(t.name, e), w.seq, t.n, e.Source, e.Generation, e.ID, blob(e.Key), pack(e.Raw, false),
		bmcTime(e.Created), ns(e.Observed), severity(e.Severity), e.Message, e.MessageID, stringList(e.Args), string(e.Component),
		e.Origin, string(e.Kind), e.Cleared, appendSEL(e.SEL))
}

// event writes an event. One without an ID gets the visit's with its ordinal: it must not be taken for another without one.
func (w *writer) event(ctx context.Context, t *writerTarget, id string, e *health.Event) error {
	// n goes up by one per row that is written, and only then: the chain over it has no holes.
	n := w.link.n + 1
	content := contentOf(n, id, t.name, e)
	head := chained(w.link.head, content)
	wrote, err := w.changes(ctx, `INSERT INTO events (n, id, seq, target, component, class, kind, severity, transition, rule, message,
		evidence, at, source, source_time, at_start, fault, content, chain, subject, source_severity)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO NOTHING`,
		n, id, w.seq, t.n, string(e.Component), string(e.Class), string(e.Kind), severity(e.Severity), string(e.Transition),
		e.Rule, e.Message, stringList(e.Evidence), ns(e.At), e.Source, bmcTime(e.SourceTime), e.AtStart, e.FaultID, content, head,
		e.Subject, severity(e.SourceSeverity))
	if err == nil && wrote > 0 {
		w.link = link{n, head}
	}
	return err
}

// severity is the word of s; a value outside the list is unknown, and never keeps its visit from being stored.
func severity(s health.Severity) string {
	if s > health.SeverityCritical {
		s = health.SeverityUnknown
	}
	return s.String()
}

// thresholds keeps those of readings that state some, where they differ from what was in force. Those that are not finite
// are no thresholds.
func (w *writer) thresholds(ctx context.Context, t *writerTarget, readings []health.Reading, ids []uint32) error {
	for i, r := range readings {
		if r.Thresholds == nil {
			continue
		}
		if err := t.loadThresholds(ctx, w); err != nil {
			return err
		}
		new := levelsOf(r.Thresholds)
		if old, ok := t.levels[ids[i]]; ok && old == new {
			continue
		}
		if err := w.exec(ctx, `INSERT INTO thresholds (target, series, seq, lower_fatal, lower_critical, lower_caution,
			upper_caution, upper_critical, upper_fatal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET lower_fatal = excluded.lower_fatal, lower_critical = excluded.lower_critical,
			lower_caution = excluded.lower_caution, upper_caution = excluded.upper_caution,
			upper_critical = excluded.upper_critical, upper_fatal = excluded.upper_fatal`,
			t.n, ids[i], w.seq, new[0], new[1], new[2], new[3], new[4], new[5]); err != nil {
			return err
		}
		t.levels[ids[i]] = new
		if err := w.exec(ctx, `DELETE FROM thresholds WHERE target = ?1 AND series = ?2 AND seq < (SELECT seq FROM thresholds
			WHERE target = ?1 AND series = ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3)`, t.n, ids[i], maxVersions-1); err != nil {
			return err
		}
	}
	return nil
}

// levels are thresholds from the lowest to the highest, comparable.
type levels [6]sql.NullFloat64

func levelsOf(t *health.Thresholds) (l levels) {
	for i, p := range [...]*float64{t.LowerFatal, t.LowerCritical, t.LowerCaution, t.UpperCaution, t.UpperCritical, t.UpperFatal} {
		if p != nil && finite(*p) {
			l[i] = sql.NullFloat64{Float64: *p, Valid: true}
		}
	}
	return l
}

// thresholds is nil if there is none.
func (l levels) thresholds() *health.Thresholds {
	var p [6]*float64
	for i, n := range l {
		if n.Valid {
			p[i] = &n.Float64
		}
	}
	if l == (levels{}) {
		return nil
	}
	return &health.Thresholds{
		LowerFatal: p[0], LowerCritical: p[1], LowerCaution: p[2], UpperCaution: p[3], UpperCritical: p[4], UpperFatal: p[5],
	}
}

// delta writes what the visit changes of what is known: Recall gives back what Known.Apply makes of it.
func (w *writer) delta(ctx context.Context, t *writerTarget, d *health.Delta) error {
	if d.Endpoint != "" && d.Endpoint != t.endpoint {
		if err := w.moved(ctx, t, d.Endpoint); err != nil {
			return err
		}
	}
	if d.Driver != "" || d.HostPower != nil || !d.FirstSeen.IsZero() {
		var power any
		if d.HostPower != nil {
			power = d.HostPower.String()
		}
		if err := w.exec(ctx, `UPDATE targets SET driver = coalesce(nullif(?2, ''), driver),
			driver_before = CASE ?2 WHEN '' THEN driver_before ELSE '' END, host_power = coalesce(?3, host_power),
			first_seen_ns = coalesce(?4, first_seen_ns) WHERE id = ?1`, t.n, d.Driver, power, ns(d.FirstSeen)); err != nil {
			return err
		}
	}
	if d.Identity != nil {
		if err := w.identity(ctx, t, asJSON(d.Identity)); err != nil {
			return err
		}
	}
	for i := range d.Components {
		if err := w.component(ctx, t, &d.Components[i]); err != nil {
			return fmt.Errorf("component %q: %w", d.Components[i].ID, err)
		}
	}
	for i := range d.Faults {
		if err := w.fault(ctx, t, &d.Faults[i]); err != nil {
			return fmt.Errorf("fault %q: %w", d.Faults[i].ID, err)
		}
	}
	for source, c := range d.Cursors {
		if err := w.exec(ctx, `INSERT INTO cursors (target, source, value) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value`, t.n, source, blob(c)); err != nil {
			return err
		}
	}
	if d.Memory != nil {
		if err := w.exec(ctx, `INSERT INTO memory (target, value) VALUES (?, ?)
			ON CONFLICT DO UPDATE SET value = excluded.value WHERE value <> excluded.value`, t.n, blob(d.Memory)); err != nil {
			return err
		}
	}
	if d.Air != nil {
		if err := w.exec(ctx, "INSERT INTO air (target, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2", t.n, asJSON(d.Air)); err != nil {
			return err
		}
	}
	if a := d.Access; a != nil {
		if err := w.exec(ctx, `INSERT OR REPLACE INTO access (target, state, since_ns, next_try_ns, failures, reason, error)
			VALUES (?, ?, ?, ?, ?, ?, ?)`,
			t.n, string(a.State), ns(a.Since), ns(a.NextTry), a.Failures, string(a.Reason), a.Error); err != nil {
			return err
		}
	}
	for tier, k := range d.Ticks {
		if ns(k.Due) == nil { // Known.Apply does not take it either
			continue
		}
		if err := w.exec(ctx, `INSERT INTO ticks (target, tier, due_ns, result, lateness) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET due_ns = excluded.due_ns, result = excluded.result, lateness = excluded.lateness
			WHERE excluded.due_ns > due_ns`, t.n, int64(tier), ns(k.Due), string(k.Result), int64(k.Lateness)); err != nil {
			return err
		}
	}
	for _, p := range d.Places {
		if err := w.exec(ctx, `INSERT OR REPLACE INTO places (target, place, at) VALUES (?, ?, ?)`,
			t.n, p, ns(d.PlacesAt)); err != nil {
			return err
		}
	}
	for i := range d.Recent {
		if err := w.recent(ctx, t, &d.Recent[i]); err != nil {
			return err
		}
	}
	if c := d.Clock; c != nil {
		if err := w.exec(ctx, "UPDATE targets SET clock_skew = ?2, clock_ns = ?3 WHERE id = ?1", t.n, int64(c.Skew), ns(c.At)); err != nil {
			return err
		}
	}
	for _, id := range d.Forget {
		if err := w.exec(ctx, "DELETE FROM components WHERE target = ? AND id = ?", t.n, string(id)); err != nil {
			return err
		}
	}
	return nil
}

// moved notes another endpoint, and drops what was learned from the one before, as health.Known.Apply does: cursors of
// another machine's logs would skip this one's.
func (w *writer) moved(ctx context.Context, t *writerTarget, endpoint string) error {
	if t.endpoint != "" {
		for _, q := range [...]string{
			"UPDATE targets SET driver_before = coalesce(nullif(driver, ''), driver_before), driver = '' WHERE id = ?", "DELETE FROM cursors WHERE target = ?", "DELETE FROM memory WHERE target = ?", "DELETE FROM air WHERE target = ?",
			"DELETE FROM access WHERE target = ?", "UPDATE targets SET clock_skew = 0, clock_ns = NULL WHERE id = ?",
		} {
			if err := w.exec(ctx, q, t.n); err != nil {
				return err
			}
		}
	}
	t.endpoint = endpoint
	return w.exec(ctx, "UPDATE targets SET endpoint = ?2 WHERE id = ?1", t.n, endpoint)
}

func (w *writer) identity(ctx context.Context, t *writerTarget, new string) error {
	n, err := w.changes(ctx, "UPDATE targets SET identity = ?2 WHERE id = ?1 AND identity <> ?2", t.n, new)
	if err != nil || n == 0 {
		return err
	}
	if err := w.exec(ctx, "INSERT OR REPLACE INTO identity_history (target, seq, identity) VALUES (?, ?, ?)", t.n, w.seq, new); err != nil {
		return err
	}
	return w.exec(ctx, `DELETE FROM identity_history WHERE target = ?1 AND seq < (SELECT seq FROM identity_history
		WHERE target = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)`, t.n, maxVersions-1)
}

func (w *writer) component(ctx context.Context, t *writerTarget, c *health.KnownComponent) error {
	detail := c.Component
	detail.ID, detail.Class, detail.Name, detail.Presence, detail.State = "", "", "", 0, 0
	whole := asJSON(detail)
	if err := w.exec(ctx, `INSERT INTO components (target, id, class, name, presence, state, since_ns, seq, detail)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET class = excluded.class, name = excluded.name, presence = excluded.presence,
		state = excluded.state, since_ns = excluded.since_ns, seq = excluded.seq, detail = excluded.detail`,
		t.n, string(c.ID), string(c.Class), c.Name, min(c.Presence, health.Absent).String(), min(c.State, health.Critical).String(),
		ns(c.Since), w.seq, whole); err != nil {
		return err
	}
	detail.Status, detail.Conditions, detail.StateNotRead = "", nil, false
	n, err := w.changes(ctx, `INSERT INTO component_history (target, id, seq, class, name, detail) SELECT ?1, ?2, ?3, ?4, ?5, ?6
		WHERE NOT EXISTS (SELECT 1 FROM (SELECT class, name, detail FROM component_history WHERE target = ?1 AND id = ?2
		ORDER BY seq DESC LIMIT 1) WHERE class = ?4 AND name = ?5 AND detail = ?6)
		ON CONFLICT DO UPDATE SET class = excluded.class, name = excluded.name, detail = excluded.detail`,
		t.n, string(c.ID), w.seq, string(c.Class), c.Name, asJSON(detail))
	if err != nil || n == 0 {
		return err
	}
	return w.exec(ctx, `DELETE FROM component_history WHERE target = ?1 AND id = ?2 AND seq < (SELECT seq FROM component_history
		WHERE target = ?1 AND id = ?2 ORDER BY seq DESC LIMIT 1 OFFSET ?3)`, t.n, string(c.ID), maxVersions-1)
}

func (w *writer) fault(ctx context.Context, t *writerTarget, f *health.Fault) error {
	return w.exec(ctx, `INSERT OR REPLACE INTO faults (id, target, component, class, kind, severity, state, rule, message, evidence,
		opened_ns, changed_ns, cleared_ns, at_start, seq, subject, flap) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		f.ID, t.n, string(f.Component), string(f.Class), string(f.Kind), severity(f.Severity), string(f.State), f.Rule, f.Message,
		stringList(f.Evidence), ns(f.Opened), ns(f.Changed), ns(f.Cleared), f.AtStart, w.seq,
		f.Subject, asJSON(f.Flap))
}

func (w *writer) recent(ctx context.Context, t *writerTarget, r *health.Recent) error {
	if r.Fault == "" {
		return w.exec(ctx, "DELETE FROM recent WHERE target = ? AND component = ? AND kind = ? AND subject = ?",
			t.n, string(r.Component), string(r.Kind), r.Subject)
	}
	return w.exec(ctx, "INSERT OR REPLACE INTO recent (target, component, kind, subject, begun, fault, ended_ns, polled) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		t.n, string(r.Component), string(r.Kind), r.Subject, asJSON(r.Begun), r.Fault, ns(r.Ended), r.Polled)
}

// configuredJSON is a target's configuration as the dictionary holds it.
func configuredJSON(t *health.Target) (string, error) {
	b, err := json.Marshal(t)
	return string(b), err
}
