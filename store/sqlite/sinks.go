package sqlite

import "context"

// Sink is a follower of the log, and the Seq up to which it has delivered.
type Sink struct {
	Name    string
	Cursor  int64
	GivenUp int64 // visits that retention dropped before the sink took them; those it was just taking count too
	Dropped int64 // refused lines that went from a full quarantine
	Unsent  int64 // visits that it went past since they could not be read, and that it gets when they can be
}

// Sinks lists the followers that have ever delivered anything, and the configured ones, by name.
func (db *DB) Sinks(ctx context.Context) ([]Sink, error) {
	rows, err := db.read.QueryContext(ctx, `SELECT name, cursor, given_up, quarantine_dropped,
		(SELECT count(*) FROM unsent u JOIN visits v ON v.seq BETWEEN u.first AND u.last WHERE u.sink = sinks.name) FROM sinks ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var sinks []Sink
	for rows.Next() {
		var s Sink
		if err := rows.Scan(&s.Name, &s.Cursor, &s.GivenUp, &s.Dropped, &s.Unsent); err != nil {
			return nil, err
		}
		sinks = append(sinks, s)
	}
	return sinks, rows.Err()
}
