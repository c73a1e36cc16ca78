package influx

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"dewline/health"
)

// sendReleased sends one batch of points that were refused before and that a person has released, in their order, and says
// how many that were. One batch between others: however many are released, new visits go on. It is false if ctx ended.
func (s *Sink) sendReleased(ctx context.Context) (int, bool) {
	var rows []health.Rejected
	if !s.insist(ctx, "read released points", func(ctx context.Context) (err error) {
		rows, err = s.log.Released(ctx, s.o.Name, s.batch)
		return err
	}) {
		return 0, false
	}
	if len(rows) == 0 {
		return 0, true
	}
	s.mu.Lock()
	if s.since.IsZero() { // what is recorded while these wait for the server waits as well
		s.since = time.Now()
	}
	s.mu.Unlock()
	pts := make([]point, len(rows))
	for i, r := range rows {
		pts[i] = point{line: r.Line, seq: r.Seq, id: r.ID}
	}
	refused, err := s.put(ctx, pts)
	if err != nil {
		return 0, false
	}
	again := make(map[int64]bool, len(refused))
	for _, r := range refused {
		again[r.ID] = true
	}
	delivered := make([]int64, 0, len(rows))
	for _, r := range rows {
		if !again[r.ID] {
			delivered = append(delivered, r.ID)
		}
	}
	kept, cancel := keepAlive(ctx)
	defer cancel()
	if !s.insist(kept, "settle released points", func(ctx context.Context) error {
		return s.log.Settle(ctx, s.o.Name, delivered, refused)
	}) {
		return 0, false
	}
	s.mu.Lock()
	s.state.Delivered += int64(len(delivered))
	s.mu.Unlock()
	level := slog.LevelInfo
	if len(refused) > 0 {
		level = slog.LevelWarn
	}
	s.o.Log.Log(ctx, level, "influxdb: released points were sent again", slog.String("sink", s.o.Name),
		slog.Int("stored", len(delivered)), slog.Int("refused_again", len(refused)))
	return len(rows), true
}

// Series is a line's measurement and tags, as far as they can be read.
func Series(line string) (measurement string, tags map[string]string) {
	tags = map[string]string{}
	var part []byte
	key, measured := "", false
	end := func() {
		switch {
		case !measured:
			measurement, measured = string(part), true
		case key != "":
			tags[key] = string(part)
		}
		part, key = nil, ""
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && strings.IndexByte(", =", line[i+1]) >= 0: // any other is itself
			i++
			part = append(part, line[i])
		case c == ' ':
			end()
			return measurement, tags
		case c == ',':
			end()
		case c == '=' && measured && key == "":
			key, part = string(part), nil
		default:
			part = append(part, c)
		}
	}
	end()
	return measurement, tags
}
