package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"dewline/health"
)

// Link is one event's place in the chain of events. Chain is SHA-256 of the chain before it (32 zero bytes before the first)
// followed by Content.
type Link struct {
	N       int64  `json:"n"`
	Event   string `json:"event_id"`
	Content string `json:"content"`
	Chain   string `json:"chain"`
}

// link is the writer's end of the chain.
type link struct {
	n    int64
	head []byte
}

// loadLink reads where the chain ends.
func (w *writer) loadLink(ctx context.Context) error {
	w.link = link{head: make([]byte, sha256.Size)}
	var head []byte
	err := w.conn.QueryRowContext(ctx, "SELECT n, chain FROM events ORDER BY n DESC LIMIT 1").Scan(&w.link.n, &head)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return err
	case len(head) == sha256.Size:
		w.link.head = head
	}
	return nil
}

// contentOf is a hash of what an event says: its fields as they are stored, each with its length before it.
func contentOf(n int64, id string, t health.TargetID, e *health.Event) []byte {
	h := sha256.New()
	var b [8]byte
	for _, s := range [...]string{
		id, string(t), string(e.Component), string(e.Class), string(e.Kind), severity(e.Severity), string(e.Transition), e.Rule, e.Message,
		stringList(e.Evidence), e.Source, bmcTime(e.SourceTime), e.FaultID,
	} {
		binary.BigEndian.PutUint64(b[:], uint64(len(s)))
		h.Write(b[:])
		h.Write([]byte(s))
	}
	var at int64
	if storable(e.At) {
		at = e.At.UnixNano()
	}
	for _, v := range [...]int64{n, at} {
		binary.BigEndian.PutUint64(b[:], uint64(v))
		h.Write(b[:])
	}
	if e.AtStart {
		h.Write([]byte{1})
	} else {
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

func chained(before, content []byte) []byte {
	h := sha256.New()
	h.Write(before)
	h.Write(content)
	return h.Sum(nil)
}

// ChainHead is the end of the chain of events and how many events there are; head is "" while none is chained.
func (db *DB) ChainHead(ctx context.Context) (head string, length int64, err error) {
	err = each(ctx, db.read, func(rows *sql.Rows) error {
		var b []byte
		err := rows.Scan(&length, &b)
		head = hex.EncodeToString(b)
		return err
	}, "SELECT n, chain FROM events ORDER BY n DESC LIMIT 1")
	if err != nil {
		return "", 0, fmt.Errorf("read the chain of events: %w", err)
	}
	return head, length, nil
}

// FirstEvent is the number of the first event at or after a time; 0 if there is none.
func (db *DB) FirstEvent(ctx context.Context, since time.Time) (n int64, err error) {
	if err := each(ctx, db.read, func(rows *sql.Rows) error { return rows.Scan(&n) },
		"SELECT coalesce(min(n), 0) FROM events WHERE at >= ?", since.UnixNano()); err != nil {
		return 0, fmt.Errorf("read events: %w", err)
	}
	return n, nil
}

// ErrChain is wrapped when an event is not as it was chained, or one is missing.
var ErrChain = errors.New("the chain of events is broken")

// Chain calls f for each link from the event n on, in order, having checked that the link follows from its event and from the
// link before it.
func (db *DB) Chain(ctx context.Context, n int64, f func(Link) error) error {
	fail := func(err error) error { return fmt.Errorf("check the chain of events: %w", err) }
	var before []byte
	if err := each(ctx, db.read, func(rows *sql.Rows) error { return rows.Scan(&before) }, "SELECT chain FROM events WHERE n = ?", n-1); err != nil {
		return fail(err)
	}
	if before == nil {
		before = make([]byte, sha256.Size)
	}
	next := n
	return walk(ctx, n-1, func(beyond int64, row func(int64)) error {
		type entry struct {
			n              int64
			content, chain []byte
			event          health.Event
		}
		var page []entry
		if err := each(ctx, db.read, func(rows *sql.Rows) error {
			var x entry
			e := &x.event
			if err := rows.Scan(&x.n, &x.content, &x.chain, &e.ID, &e.Target, &e.Component, &e.Class, &e.Kind, textOf(&e.Severity), &e.Transition, &e.Rule,
				&e.Message, listOf{&e.Evidence}, nsTime{&e.At}, &e.Source, bmcTimeOf{&e.SourceTime}, &e.AtStart, &e.FaultID); err != nil {
				return err
			}
			page = append(page, x)
			return nil
		}, fmt.Sprintf(`SELECT e.n, e.content, e.chain, e.id, t.name, e.component, e.class, e.kind, e.severity, e.transition, e.rule, e.message, e.evidence, e.at,
			e.source, e.source_time, e.at_start, e.fault FROM events e JOIN targets t ON t.id = e.target WHERE e.n > ? ORDER BY e.n LIMIT %d`, walkPage), beyond); err != nil {
			return fail(err)
		}
		for _, x := range page {
			row(x.n)
			if x.n < n {
				continue
			}
			if x.n != next {
				return fail(fmt.Errorf("%w: event %d is missing", ErrChain, next))
			}
			next++
			if x.chain == nil { // of before the chain
				continue
			}
			content := contentOf(x.n, x.event.ID, x.event.Target, &x.event)
			if !bytes.Equal(content, x.content) {
				return fail(fmt.Errorf("%w: event %d (%s) was changed", ErrChain, x.n, x.event.ID))
			}
			if before = chained(before, content); !bytes.Equal(before, x.chain) {
				return fail(fmt.Errorf("%w: event %d (%s) does not follow from the one before it", ErrChain, x.n, x.event.ID))
			}
			if err := f(Link{x.n, x.event.ID, hex.EncodeToString(content), hex.EncodeToString(x.chain)}); err != nil {
				return err
			}
		}
		return nil
	})
}
