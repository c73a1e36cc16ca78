package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"dewline/health"
)

// writerTarget is what the writer holds of a target: its dictionary with the ways to find numbers in it, and the thresholds
// in force.
type writerTarget struct {
	n    int64
	name health.TargetID
	dict
	grown bool // since the last commit

	lastDriver string
	origin     health.Origin
	endpoint   string

	byPart   map[health.ComponentID][]uint32
	bySeries map[health.ComponentID][]uint32
	byConfig map[string]uint32
	levels   map[uint32]levels // nil: not read yet
}

// target gives the visit's target, a new row for a new one.
func (w *writer) target(ctx context.Context, v *health.Visit) (*writerTarget, error) {
	name := string(v.Target)
	t := w.targets[name]
	if t == nil {
		if err := w.exec(ctx, "INSERT INTO targets (name) VALUES (?) ON CONFLICT DO NOTHING", name); err != nil {
			return nil, err
		}
		t = &writerTarget{name: v.Target}
		if err := each(ctx, w, func(rows *sql.Rows) error { return rows.Scan(&t.n, &t.lastDriver, &t.origin, &t.endpoint) },
			"SELECT id, last_driver, origin, endpoint FROM targets WHERE name = ?", name); err != nil {
			return nil, err
		}
		d, err := loadDict(ctx, w, t.n)
		if err != nil {
			return nil, err
		}
		t.dict = *d
		t.index()
		w.targets[name] = t
	}
	w.touched[name] = t
	if t.lastDriver != v.Driver || t.origin != v.Origin {
		if err := w.exec(ctx, "UPDATE targets SET last_driver = ?2, origin = ?3 WHERE id = ?1",
			t.n, v.Driver, string(v.Origin)); err != nil {
			return nil, err
		}
		t.lastDriver, t.origin = v.Driver, v.Origin
	}
	return t, nil
}

func (t *writerTarget) index() {
	t.byPart = make(map[health.ComponentID][]uint32, len(t.parts))
	t.bySeries = make(map[health.ComponentID][]uint32, len(t.series))
	t.byConfig = map[string]uint32{}
	for n, p := range t.parts {
		t.byPart[p.id] = append(t.byPart[p.id], uint32(n))
	}
	for n := range t.series {
		id := t.component(uint32(n))
		t.bySeries[id] = append(t.bySeries[id], uint32(n))
	}
	for n, c := range t.configured {
		if s, err := configuredJSON(c); err == nil {
			t.byConfig[s] = uint32(n)
		}
	}
}

func (t *writerTarget) loadThresholds(ctx context.Context, w *writer) error {
	if t.levels != nil {
		return nil
	}
	m, err := thresholdsInForce(ctx, w, t.n)
	t.levels = m
	return err
}

// thresholdsInForce is the newest thresholds of each series of a target.
func thresholdsInForce(ctx context.Context, q querier, target int64) (map[uint32]levels, error) {
	m := map[uint32]levels{}
	err := each(ctx, q, func(rows *sql.Rows) error {
		var s uint32
		var l levels
		if err := rows.Scan(&s, &l[0], &l[1], &l[2], &l[3], &l[4], &l[5]); err != nil {
			return err
		}
		m[s] = l // the last one wins
		return nil
	}, `SELECT series, lower_fatal, lower_critical, lower_caution, upper_caution, upper_critical, upper_fatal
		FROM thresholds WHERE target = ? ORDER BY series, seq`, target)
	return m, err
}

// maxVersions is how many names of a part, descriptions of it, identities of a machine and thresholds of a series are kept:
// some services write what changes at each visit into what should not. Of descriptions the newest stay; a visit's blob names
// a part by one of its first names then.
const maxVersions = 64

// partLike is the number of a part; like finds it among those with the ID. guess is tried first: visits read the same parts in
// the same order.
func (w *writer) partLike(ctx context.Context, t *writerTarget, p part, guess uint32, like func(part) bool) (uint32, error) {
	if int(guess) < len(t.parts) && t.parts[guess].id == p.id && like(t.parts[guess]) {
		return guess, nil
	}
	for _, n := range t.byPart[p.id] {
		if like(t.parts[n]) {
			return n, nil
		}
	}
	if many := t.byPart[p.id]; len(many) >= maxVersions {
		for _, n := range slices.Backward(many) {
			if t.parts[n].class == p.class { // else it is another thing, of which there are only as many as classes
				return n, nil
			}
		}
	}
	n := uint32(len(t.parts))
	if n >= maxDictionary {
		return 0, ErrInvalid
	}
	if err := w.exec(ctx, "INSERT INTO parts (target, n, id, class, name) VALUES (?, ?, ?, ?, ?)",
		t.n, n, string(p.id), string(p.class), p.name); err != nil {
		return 0, err
	}
	t.parts = append(t.parts, p)
	t.byPart[p.id] = append(t.byPart[p.id], n)
	t.grown = true
	return n, nil
}

func (w *writer) seriesOf(ctx context.Context, t *writerTarget, r *health.Reading, guess uint32) (uint32, error) {
	same := func(n uint32) bool {
		s := t.series[n]
		return s.quantity == r.Quantity && s.unit == r.Unit && s.derived == r.Derived
	}
	if int(guess) < len(t.series) && t.component(guess) == r.Component && same(guess) {
		return guess, nil
	}
	for _, n := range t.bySeries[r.Component] {
		if same(n) {
			return n, nil
		}
	}
	p, err := w.partLike(ctx, t, part{id: r.Component}, 0, func(part) bool { return true })
	if err != nil {
		return 0, err
	}
	n := uint32(len(t.series))
	if n >= maxDictionary {
		return 0, ErrInvalid
	}
	if err := w.exec(ctx, "INSERT INTO series (target, n, part, quantity, unit, derived) VALUES (?, ?, ?, ?, ?, ?)",
		t.n, n, p, string(r.Quantity), string(r.Unit), r.Derived); err != nil {
		return 0, err
	}
	t.dict.series = append(t.dict.series, series{part: p, quantity: r.Quantity, unit: r.Unit, derived: r.Derived})
	t.bySeries[r.Component] = append(t.bySeries[r.Component], n)
	t.grown = true
	return n, nil
}

func (w *writer) configuredAs(ctx context.Context, t *writerTarget, c *health.Target) (uint32, error) {
	detail, err := configuredJSON(c)
	if err != nil {
		return 0, err
	}
	if n, ok := t.byConfig[detail]; ok {
		return n, nil
	}
	n := uint32(len(t.configured))
	if n >= maxDictionary {
		return 0, ErrInvalid
	}
	if err := w.exec(ctx, "INSERT INTO configured (target, n, detail) VALUES (?, ?, ?)", t.n, n, detail); err != nil {
		return 0, err
	}
	kept := *c
	t.configured = append(t.configured, &kept)
	t.byConfig[detail] = n
	t.grown = true
	return n, nil
}

// frame is a prepared visit with numbers for its parts and series.
func (w *writer) frame(ctx context.Context, t *writerTarget, v *health.Visit) (*frame, error) {
	f := &frame{
		at: v.At().UnixNano(), started: !v.Started.IsZero(), took: int64(v.Took), cost: costOf(v.Cost), shape: &shape{},
		skip: slices.Clone(v.Skipped),
		frameKind: frameKind{
			driver: v.Driver, origin: v.Origin, result: v.Result, reason: v.Reason, err: v.Error, due: v.Tiers(),
			hasSnap: v.Snapshot != nil,
		},
	}
	if v.ID != health.VisitID(v) {
		f.id = v.ID
	}
	for tier, d := range v.Due {
		f.dueAt[tier] = d.UnixNano() - f.at
	}
	if v.Where != nil {
		n, err := w.configuredAs(ctx, t, v.Where)
		if err != nil {
			return nil, err
		}
		f.where = n + 1
	}
	guess := uint32(0)
	for _, u := range v.Unread {
		n, err := w.partLike(ctx, t, part{id: u.ID, class: u.Class}, guess, func(p part) bool { return p.class == u.Class })
		if err != nil {
			return nil, err
		}
		f.unread = append(f.unread, n)
		guess = n + 1
	}
	f.snap = snapFrame{at: f.at, took: f.took, cost: f.cost}
	s := v.Snapshot
	if s == nil {
		return f, nil
	}
	f.snapDriver, f.snapTiers, f.hostPower, f.gaps = s.Driver, s.Tiers, s.HostPower, s.Gaps
	if s.Target != v.Target {
		f.snapTarget = string(s.Target)
	}
	f.snap = snapFrame{at: f.at, took: int64(s.Took), cost: costOf(s.Cost)}
	if s.At.IsZero() {
		f.snapNoTime = true
	} else {
		f.snap.at = s.At.UnixNano()
	}
	f.shape.parts, f.states = make([]uint32, len(s.Components)), make([]byte, len(s.Components))
	guess = 0
	for i, c := range s.Components {
		n, err := w.partLike(ctx, t, part{c.ID, c.Class, c.Name}, guess, func(p part) bool { return p.class == c.Class && p.name == c.Name })
		if err != nil {
			return nil, err
		}
		f.shape.parts[i], guess = n, n+1
		f.states[i] = byte(c.Presence)<<2 | byte(c.State)
		if c.StateNotRead {
			f.states[i] |= 1 << 4
		}
	}
	f.shape.series, f.values = make([]uint32, len(s.Readings)), make([]float64, len(s.Readings))
	guess = 0
	for i := range s.Readings {
		n, err := w.seriesOf(ctx, t, &s.Readings[i], guess)
		if err != nil {
			return nil, err
		}
		f.shape.series[i], f.values[i], guess = n, s.Readings[i].Value, n+1
	}
	return f, nil
}
