package influx

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"dewline/health"
)

// put writes points until the server has all but those it refuses for good, which are returned. The only error is ctx's.
func (s *Sink) put(ctx context.Context, pts []point) ([]health.Rejected, error) {
	f, err := s.write(ctx, pts)
	if f == nil || err != nil {
		return nil, err
	}
	if f.verdict == oversize && len(pts) > 1 {
		s.batch = max(1, min(s.batch, len(pts)/2))
	}
	if len(pts) == 1 || f.verdict == refused && dropped(f.text) == len(pts) {
		rows := make([]health.Rejected, len(pts))
		for i, p := range pts {
			rows[i] = health.Rejected{ID: p.id, Seq: p.seq, Line: p.line, Error: fieldText(s.hide.Replace(f.text))}
		}
		return rows, nil
	}
	a, b := divide(pts, f)
	rows, err := s.put(ctx, a)
	if err != nil {
		return nil, err
	}
	more, err := s.put(ctx, b)
	return append(rows, more...), err
}

// divide gives two parts, neither empty, of at least two points: those the server's words blame and the others, or else
// the halves. A field that has the wrong type is so in every point of its measurement, hence the first.
func divide(pts []point, f *failure) (a, b []point) {
	if c := conflict(f.text); c.measurement != "" {
		for _, p := range pts {
			if measurementOf(p.line) == c.measurement && strings.Contains(p.line, c.field+"=") {
				b = append(b, p)
			} else {
				a = append(a, p)
			}
		}
		if len(a) > 0 && len(b) > 0 {
			return a, b
		}
	}
	return pts[:len(pts)/2], pts[len(pts)/2:]
}

func measurementOf(line string) string {
	m, _, _ := strings.Cut(line, ",")
	return m
}

type blamed struct{ field, measurement string }

var conflictWords = regexp.MustCompile(`field type conflict: input field "([^"]+)" on measurement "([^"]+)"`)

// conflict is which field of which measurement a refusal names: 1.8 and 2.x do so in the same words.
func conflict(text string) blamed {
	if m := conflictWords.FindStringSubmatch(text); m != nil {
		return blamed{m[1], m[2]}
	}
	return blamed{}
}

var droppedWords = regexp.MustCompile(`partial write: .*\bdropped=(\d{1,9})\b`)

// dropped is how many points a partial write left out: 0 if the words do not tell. With a batch over several shards they
// tell of one, so that it may be too few, never too many.
func dropped(text string) int {
	m := droppedWords.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// write sends points until the server has judged them: nil if they are stored. The only error is ctx's.
func (s *Sink) write(ctx context.Context, pts []point) (*failure, error) {
	lines := make([]string, len(pts))
	for i, p := range pts {
		lines[i] = p.line
	}
	for try := 0; ; try++ {
		f := s.send(ctx, lines)
		if f == nil {
			s.recovered()
			return nil, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if f.verdict == suspect || f.verdict == oversize && len(pts) == 1 {
			f = s.judge(ctx, f)
		}
		if f.verdict == refused || f.verdict == oversize {
			s.recovered()
			return f, nil
		}
		s.troubled(f)
		if !s.back.wait(ctx, try, f.retryAfter) {
			return nil, ctx.Err()
		}
	}
}

// judge decides on a refusal whose words we do not know, and on one of a single point as too large: if a write without
// points is refused as well, it is the request that is wrong (no organization, another server's port, a proxy) and not the
// points.
func (s *Sink) judge(ctx context.Context, f *failure) *failure {
	p := s.send(ctx, []string{probe})
	if p != nil && !p.emptyWrite() {
		if p.verdict == suspect || p.verdict == refused || p.verdict == oversize {
			f.verdict = kept
			return f
		}
		return p
	}
	f.verdict = refused
	return f
}
