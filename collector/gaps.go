package collector

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"dewline/health"
)

// gapLines is how often in an hour it is said of one target what of it is not read: a BMC that names other parts at each visit must
// not fill the log.
const gapLines = 12

// gapLog says what of a target that answers is not read, on change only. What is not read at each visit is in the record.
type gapLog struct {
	open map[gapKey]health.Tiers // the tiers whose visits would show that it is read again
	hour time.Time               // when the lines began to be counted
	said int
}

type gapKey struct {
	part   string
	reason health.Reason
}

func (g *gapLog) say(ctx context.Context, log *slog.Logger, v *health.Visit) {
	if v.Snapshot == nil || v.Result != health.Done && v.Result != health.Late {
		return // how the target itself is, sayAccess says
	}
	if g.open == nil {
		g.open = map[gapKey]health.Tiers{}
	}
	tiers := v.Tiers()
	var fresh []health.Gap
	seen := map[gapKey]bool{}
	for _, x := range v.Snapshot.Gaps {
		k := gapKey{cmp.Or(string(x.Component), x.Place, x.Part), x.Reason}
		switch x.Reason {
		case health.ReasonStopped:
			continue
		case health.ReasonBudget: // other parts each time
			k.part = ""
		}
		if seen[k] {
			continue
		}
		seen[k] = true
		held, known := g.open[k]
		if !known {
			fresh = append(fresh, x)
		}
		// A part found by a visit of several tiers belongs to one of them: the next visits tell which.
		g.open[k] = cmp.Or(held&tiers, tiers)
	}
	over := 0
	for k, t := range g.open {
		if !seen[k] && t&^tiers == 0 {
			delete(g.open, k)
			over++
		}
	}
	if len(fresh) > 0 && g.may(ctx, log, v.At()) {
		level := slog.LevelInfo // what a machine just does not have
		reasons := map[health.Reason]int{}
		for _, x := range fresh {
			reasons[x.Reason]++
			if x.Reason != health.ReasonUnsupported && x.Reason != health.ReasonNotFound {
				level = slog.LevelWarn
			}
		}
		var b []string
		for _, r := range slices.Sorted(maps.Keys(reasons)) {
			b = append(b, fmt.Sprintf("%s=%d", r, reasons[r]))
		}
		log.Log(ctx, level, "parts of the target are not read", "new", strings.Join(b, " "), "first", fresh[0].Part, "reason", string(fresh[0].Reason), "err", fresh[0].Error)
	}
	if over > 0 && g.may(ctx, log, v.At()) {
		log.Info("parts of the target are read again, or no longer there", "parts", over, "still_not_read", len(g.open))
	}
}

// may tells whether there is another line for this hour.
func (g *gapLog) may(ctx context.Context, log *slog.Logger, at time.Time) bool {
	if d := at.Sub(g.hour); d < 0 || d >= time.Hour {
		g.hour, g.said = at, 0
	}
	g.said++
	if g.said == gapLines {
		log.Log(ctx, slog.LevelWarn, "what is not read of the target changes all the time: it is not said again within the hour; the record has it", "since", g.hour.UTC())
	}
	return g.said < gapLines
}
