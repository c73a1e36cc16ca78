package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"dewline/health"
)

// faultOpen is the condition that a row f of faults is open. Its first half is that of the index faults_open.
const faultOpen = "f.state <> 'cleared' AND f.state <> 'unmonitored'"

// Targets is every target that was ever visited, in order of name.
func (db *DB) Targets(ctx context.Context) ([]health.TargetID, error) {
	var out []health.TargetID
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var id health.TargetID
		err := rows.Scan(&id)
		out = append(out, id)
		return err
	}, "SELECT name FROM targets ORDER BY name"); err != nil {
		return nil, fmt.Errorf("read targets: %w", err)
	}
	return out, nil
}

// Configured is a target as it was configured when that last changed: at its newest visit, unless it went back to an older
// definition. Nil for a target whose visits never told.
func (db *DB) Configured(ctx context.Context, id health.TargetID) (*health.Target, error) {
	var t *health.Target
	if err := each(ctx, db.read, func(rows *sql.Rows) error {
		var detail string
		if err := rows.Scan(&detail); err != nil {
			return err
		}
		t = &health.Target{}
		return json.Unmarshal([]byte(detail), t)
	}, `SELECT detail FROM configured c JOIN targets t ON t.id = c.target WHERE t.name = ? ORDER BY c.n DESC LIMIT 1`, string(id)); err != nil {
		return nil, fmt.Errorf("read how %q was configured: %w", id, err)
	}
	return t, nil
}
