package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"dewline/health"
)

// Memory is a store that forgets when the test ends. It keeps the contract of the embedded store: Record commits whole or
// not at all, After gives visits in order of commit, Changed is a broadcast. Its methods may be called from many
// goroutines; what it is given and what it gives share no memory.
type Memory struct {
	mu       sync.Mutex
	visits   []*health.Visit  // as recorded
	seqs     map[string]int64 // by visit ID
	known    map[health.TargetID]*health.Known
	cursors  map[string]int64
	rejected map[string][]health.Rejected
	lastID   int64
	changed  chan struct{}
	refuse   func(*health.Visit) error
}

// NewMemory is an empty store.
func NewMemory() *Memory {
	return &Memory{
		seqs: map[string]int64{}, known: map[health.TargetID]*health.Known{}, cursors: map[string]int64{},
		rejected: map[string][]health.Rejected{}, changed: make(chan struct{}),
	}
}

// Refuse makes Record fail with what f returns, when that is not nil: a full disk. A nil f refuses nothing more. f is
// called with the store locked.
func (m *Memory) Refuse(f func(*health.Visit) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = f
}

// Recall is what the committed visits left known of a target: health.NewKnown before the first.
func (m *Memory) Recall(ctx context.Context, id health.TargetID) (*health.Known, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.known[id]; k != nil {
		return Clone(k), nil
	}
	return health.NewKnown(id), nil
}

// Targets is every target that was ever visited, in order of name.
func (m *Memory) Targets(ctx context.Context) ([]health.TargetID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.known)), ctx.Err()
}

// Configured is a target as it was configured at its newest visit that tells; nil if none does.
func (m *Memory) Configured(ctx context.Context, id health.TargetID) (*health.Target, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range slices.Backward(m.visits) {
		if v.Target == id && v.Where != nil {
			return Clone(v.Where), ctx.Err()
		}
	}
	return nil, ctx.Err()
}

// Record commits a visit and sets its Seq, and its ID if it has none. A visit whose ID is recorded already is not recorded
// again: it gets the Seq it has. Errors are those of Refuse, ctx's, and one for a visit without a target or a time.
func (m *Memory) Record(ctx context.Context, v *health.Visit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if v.Target == "" || v.At().IsZero() {
		return errors.New("record visit: no target or no time")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v.ID == "" {
		v.ID = health.VisitID(v)
	}
	if seq, ok := m.seqs[v.ID]; ok {
		v.Seq = seq
		return nil
	}
	if m.refuse != nil {
		if err := m.refuse(v); err != nil {
			return err
		}
	}
	k := m.known[v.Target]
	if k == nil {
		k = health.NewKnown(v.Target)
		m.known[v.Target] = k
	}
	v.Seq = int64(len(m.visits)) + 1
	m.seqs[v.ID] = v.Seq
	c := Clone(v)
	m.visits = append(m.visits, c)
	k.Apply(Clone(&c.Delta))
	close(m.changed)
	m.changed = make(chan struct{})
	return nil
}

// After is up to limit committed visits with a Seq above seq, in order, in the form of Kept.
func (m *Memory) After(ctx context.Context, seq int64, limit int) ([]*health.Visit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	from := min(max(seq, 0), int64(len(m.visits)))
	var out []*health.Visit
	for _, v := range m.visits[from:] {
		if len(out) >= limit {
			break
		}
		out = append(out, Kept(v))
	}
	return out, nil
}

// Visits is every committed visit as it was recorded, deltas included.
func (m *Memory) Visits() []*health.Visit {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Clone(m.visits)
}

// Changed is closed by the next commit. A follower takes it anew in every turn, before it asks After; what commits in
// between then wakes it at once:
//
//	for {
//		changed := log.Changed()
//		visits, err := log.After(ctx, cursor, n)
//		…
//		if len(visits) == 0 {
//			select {
//			case <-changed:
//			case <-ctx.Done():
//			}
//		}
//	}
func (m *Memory) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// SinkCursor is the Seq up to which a sink has delivered, 0 for a new sink.
func (m *Memory) SinkCursor(ctx context.Context, sink string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursors[sink], ctx.Err()
}

// SetSinkCursor keeps the Seq up to which a sink has delivered. A cursor never goes back: a lower seq changes nothing.
func (m *Memory) SetSinkCursor(ctx context.Context, sink string, seq int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursors[sink] = max(m.cursors[sink], seq)
	return nil
}

// PassUnread goes past nothing: what is in memory can be read.
func (m *Memory) PassUnread(ctx context.Context, _ string, seq int64) (int64, error) {
	return seq, ctx.Err()
}

// Returned is nothing: nothing was gone past.
func (m *Memory) Returned(ctx context.Context, _ string, _ int) ([]*health.Visit, error) {
	return nil, ctx.Err()
}

// SettleReturned has nothing to settle.
func (m *Memory) SettleReturned(ctx context.Context, _ string, _, _ int64) error { return ctx.Err() }

// Quarantine keeps refused lines aside. The same line of the same visit is kept once, with its first error.
func (m *Memory) Quarantine(ctx context.Context, sink string, rows []health.Rejected) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		if !slices.ContainsFunc(m.rejected[sink], func(o health.Rejected) bool { return o.Seq == r.Seq && o.Line == r.Line }) {
			m.lastID++
			r.ID, r.At, r.Released = m.lastID, time.Now().UTC().Round(0), false
			m.rejected[sink] = append(m.rejected[sink], r)
		}
	}
	return nil
}

// Release has every refused line of a sink sent again.
func (m *Memory) Release(sink string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.rejected[sink] {
		m.rejected[sink][i].Released = true
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// Released is up to limit released lines of a sink, oldest first.
func (m *Memory) Released(ctx context.Context, sink string, limit int) ([]health.Rejected, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []health.Rejected
	for _, r := range m.rejected[sink] {
		if r.Released && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, ctx.Err()
}

// Settle ends the release of lines: delivered ones go, refused ones stay with their new error.
func (m *Memory) Settle(ctx context.Context, sink string, delivered []int64, refused []health.Rejected) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejected[sink] = slices.DeleteFunc(m.rejected[sink], func(r health.Rejected) bool { return slices.Contains(delivered, r.ID) })
	for _, r := range refused {
		for i := range m.rejected[sink] {
			if o := &m.rejected[sink][i]; o.ID == r.ID {
				o.Released, o.Error = false, r.Error
			}
		}
	}
	return nil
}

// Quarantined is how many lines stand in quarantine, all sinks together.
func (m *Memory) Quarantined(ctx context.Context) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, r := range m.rejected {
		n += len(r)
	}
	return n, ctx.Err()
}

// Rejected is what stands in quarantine for a sink.
func (m *Memory) Rejected(sink string) []health.Rejected {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.rejected[sink])
}
