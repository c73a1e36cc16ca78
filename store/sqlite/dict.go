package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"sync"

	"dewline/health"
)

// part is one entry of a target's dictionary: a component under one class and name. Another name is another entry, so that
// what was written before reads back as it was.
type part struct {
	id    health.ComponentID
	class health.Class
	name  string
}

// series is one entry of a target's dictionary of readings. part is any entry with the component's ID.
type series struct {
	part     uint32
	quantity health.Quantity
	unit     health.Unit
	derived  bool
}

// dict is a target's dictionary. Entries are only added, so a copy of the struct stays valid while a longer one is made.
type dict struct {
	parts      []part
	series     []series
	configured []*health.Target
}

func (d *dict) component(s uint32) health.ComponentID { return d.parts[d.series[s].part].id }

// holds tells whether a frame's numbers are all in d.
func (d *dict) holds(f *frame) bool {
	in := func(ids []uint32, n int) bool {
		for _, id := range ids {
			if int(id) >= n {
				return false
			}
		}
		return true
	}
	return in(f.shape.parts, len(d.parts)) && in(f.unread, len(d.parts)) && in(f.shape.series, len(d.series)) &&
		int(f.where) <= len(d.configured)
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// loadDict reads a target's dictionary. Numbers run from 0 without a hole, or the store is damaged.
func loadDict(ctx context.Context, q querier, target int64) (*dict, error) {
	d := &dict{}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var n int
		var p part
		if err := rows.Scan(&n, &p.id, &p.class, &p.name); err != nil {
			return err
		}
		if n != len(d.parts) {
			return corrupt("part %d of a dictionary is missing", len(d.parts))
		}
		d.parts = append(d.parts, p)
		return nil
	}, "SELECT n, id, class, name FROM parts WHERE target = ? ORDER BY n", target)
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, func(rows *sql.Rows) error {
		var n int
		var s series
		if err := rows.Scan(&n, &s.part, &s.quantity, &s.unit, &s.derived); err != nil {
			return err
		}
		if n != len(d.series) || int(s.part) >= len(d.parts) {
			return corrupt("series %d of a dictionary is missing", len(d.series))
		}
		d.series = append(d.series, s)
		return nil
	}, "SELECT n, part, quantity, unit, derived FROM series WHERE target = ? ORDER BY n", target)
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, func(rows *sql.Rows) error {
		var n int
		var detail string
		if err := rows.Scan(&n, &detail); err != nil {
			return err
		}
		var t health.Target
		if err := json.Unmarshal([]byte(detail), &t); err != nil || n != len(d.configured) {
			return corrupt("configuration %d of a dictionary is missing", len(d.configured))
		}
		d.configured = append(d.configured, &t)
		return nil
	}, "SELECT n, detail FROM configured WHERE target = ? ORDER BY n", target)
	return d, err
}

// each runs a query and calls f per row.
func each(ctx context.Context, q querier, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// names holds the dictionaries of committed visits for readers, by number of target. The writer puts the ones it extends here
// after each commit, so that they are held once.
type names struct {
	mu sync.RWMutex
	m  map[int64]*target
}

// target is a target's number, name and dictionary.
type target struct {
	n    int64
	name health.TargetID
	dict
}

func (ns *names) put(t *target) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.m == nil {
		ns.m = map[int64]*target{}
	}
	// A reader that loaded before a commit must not put back what the writer put since.
	if old := ns.m[t.n]; old == nil || len(old.parts) <= len(t.parts) && len(old.series) <= len(t.series) &&
		len(old.configured) <= len(t.configured) {
		ns.m[t.n] = t
	}
}

func (ns *names) get(n int64) *target {
	ns.mu.RLock()
	defer ns.mu.RUnlock()
	return ns.m[n]
}

// target gives the dictionary of a target such that it holds all of frames; q sees the frames' own commit.
func (db *DB) target(ctx context.Context, q querier, n int64, frames ...*frame) (*target, error) {
	whole := func(t *target) bool {
		if t == nil {
			return false
		}
		for i, f := range frames {
			if i > 0 && f.shape == frames[i-1].shape && f.where == frames[i-1].where && len(f.unread) == 0 {
				continue // as the one before
			}
			if !t.holds(f) {
				return false
			}
		}
		return true
	}
	if t := db.names.get(n); whole(t) {
		return t, nil
	}
	t := &target{n: n}
	found := false
	if err := each(ctx, q, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(&t.name)
	}, "SELECT name FROM targets WHERE id = ?", n); err != nil {
		return nil, err
	}
	d, err := loadDict(ctx, q, n)
	if err != nil {
		return nil, err
	}
	t.dict = *d
	if !found || !whole(t) {
		return nil, corrupt("visit of target %d names what its dictionary has not", n)
	}
	db.names.put(t)
	return t, nil
}
