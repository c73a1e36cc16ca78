package sqlite

import (
	"context"
	"database/sql"

	"dewline/health"
)

// eachEvent calls f for the events that a WHERE clause over events e chooses.
func eachEvent(ctx context.Context, q querier, f func(seq int64, e *health.Event) error, where string, args ...any) error {
	return each(ctx, q, func(rows *sql.Rows) error {
		var e health.Event
		var seq int64
		if err := rows.Scan(&seq, &e.ID, &e.Target, &e.Component, &e.Class, &e.Kind, textOf(&e.Severity), &e.Transition, &e.Rule,
			&e.Message, listOf{&e.Evidence}, nsTime{&e.At}, &e.Source, bmcTimeOf{&e.SourceTime}, &e.AtStart, &e.FaultID, &e.Subject,
			textOf(&e.SourceSeverity)); err != nil {
			return err
		}
		return f(seq, &e)
	}, `SELECT e.seq, e.id, t.name, e.component, e.class, e.kind, e.severity, e.transition, e.rule, e.message, e.evidence, e.at,
		e.source, e.source_time, e.at_start, e.fault, e.subject, e.source_severity FROM events e JOIN targets t ON t.id = e.target `+where, args...)
}

// eachFault calls f for the faults that a WHERE clause over faults f chooses.
func eachFault(ctx context.Context, q querier, f func(*health.Fault) error, where string, args ...any) error {
	return each(ctx, q, func(rows *sql.Rows) error {
		var x health.Fault
		if err := rows.Scan(&x.ID, &x.Target, &x.Component, &x.Class, &x.Kind, textOf(&x.Severity), &x.State, &x.Rule, &x.Message,
			listOf{&x.Evidence}, nsTime{&x.Opened}, nsTime{&x.Changed}, nsTime{&x.Cleared}, &x.AtStart, &x.Subject,
			fromJSON{&x.Flap}); err != nil {
			return err
		}
		return f(&x)
	}, `SELECT f.id, t.name, f.component, f.class, f.kind, f.severity, f.state, f.rule, f.message, f.evidence, f.opened_ns,
		f.changed_ns, f.cleared_ns, f.at_start, f.subject, f.flap FROM faults f JOIN targets t ON t.id = f.target `+where, args...)
}

// eachLogEntry calls f for the log entries that a WHERE clause over log_entries l chooses.
func eachLogEntry(ctx context.Context, q querier, f func(seq int64, t health.TargetID, e *health.LogEntry) error, where string,
	args ...any) error {
	return each(ctx, q, func(rows *sql.Rows) error {
		var e health.LogEntry
		var seq int64
		var target health.TargetID
		var key, raw, sel []byte
		if err := rows.Scan(&seq, &target, &e.Source, &e.Generation, &e.ID, &key, &raw, bmcTimeOf{&e.Created}, nsTime{&e.Observed},
			textOf(&e.Severity), &e.Message, &e.MessageID, listOf{&e.Args}, &e.Component, &e.Origin, &e.Kind, &e.Cleared,
			&sel); err != nil {
			return err
		}
		plain, err := unpack(raw)
		if err != nil {
			return err
		}
		if len(plain) > 0 {
			e.Raw = plain
		}
		if len(key) > 0 {
			e.Key = key
		}
		if e.SEL, err = readSEL(sel); err != nil {
			return err
		}
		return f(seq, target, &e)
	}, `SELECT l.seq, t.name, l.source, l.generation, l.entry, l.entry_key, l.raw, l.created, l.observed, l.severity, l.message,
		l.message_id, l.args, l.component, l.origin, l.kind, l.cleared, l.sel FROM log_entries l JOIN targets t ON t.id = l.target `+where,
		args...)
}
