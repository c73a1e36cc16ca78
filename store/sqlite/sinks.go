package sqlite

import "context"

// Sink is a follower of the log, and the Seq up to which it has delivered.
type Sink struct {
	Name    string
	Cursor  int64
	GivenUp int64 // visits that retention dropped before the sink took them; those it was just taking count too
	Dropped int64 // refused lines that went from a full quarantine
}

// Sinks lists the followers that have ever delivered anything, and the configured ones, by name.
func (db *DB) Sinks(ctx context.Context) ([]Sink, error) {
	rows, err := db.read.QueryContext(ctx, "SELECT name, cursor, given_up, quarantine_dropped FROM sinks ORDER BY name")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var sinks []Sink
	for rows.Next() {
		var s Sink
		if err := rows.Scan(&s.Name, &s.Cursor, &s.GivenUp, &s.Dropped); err != nil {
			return nil, err
		}
		sinks = append(sinks, s)
	}
	return sinks, rows.Err()
}
