package main

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dewline/health"
	"dewline/internal/config"
	"dewline/report"
	"dewline/report/capacity"
)

var changeText = regexp.MustCompile(`^\s*(\d+)\s*[x×*]\s*(.+?)(?:\s+in\s+(\S.*?))?\s*$`)

// changeOf reads "4 x db", "4 x db in A2". What is like db: the server of that name, or those named db and a number, or those of that model.
func changeOf(ctx context.Context, r report.FleetReader, flag, text string, sign int, q *capacity.Request) (*capacity.Change, error) {
	m := changeText.FindStringSubmatch(text)
	if m == nil {
		return nil, usageError("%s %q says not how many of what: write it as \"4 x db\" or \"4 x db in A2\"", flag, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 1 || n > 100_000 {
		return nil, usageError("%s %q: from 1 to 100000 servers", flag, text)
	}
	c := &capacity.Change{Text: flag[2:] + " " + strings.TrimSpace(text), N: sign * n}
	var racks, models, names []string
	numbered := regexp.MustCompile(`(?i)^` + regexp.QuoteMeta(m[2]) + `[-_.]?\d+$`)
	for _, t := range q.Targets {
		names = append(names, string(t.ID))
		if string(t.ID) == m[2] {
			c.Like = []health.TargetID{t.ID}
			break
		}
		if numbered.MatchString(string(t.ID)) {
			c.Like = append(c.Like, t.ID)
		}
	}
	if len(c.Like) == 0 {
		var ids []health.TargetID
		for _, t := range q.Targets {
			ids = append(ids, t.ID)
		}
		if err := r.EachInventory(ctx, ids, q.Until, func(id health.TargetID, facts *health.PartFacts) error {
			if facts.Identity.Model != "" && !slices.Contains(models, facts.Identity.Model) {
				models = append(models, facts.Identity.Model)
			}
			if strings.EqualFold(facts.Identity.Model, m[2]) {
				c.Like = append(c.Like, id)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if len(c.Like) == 0 {
		hint := ""
		if near := config.Suggest(m[2], slices.Concat(names, models)); near != "" {
			hint = ": did you mean " + strconv.Quote(near) + "?"
		}
		return nil, usageError("%s %q: no chosen server is named %q, or %q and a number, or is of that model%s", flag, text, m[2], m[2], hint)
	}
	if m[3] == "" {
		return c, enough(flag, text, c, len(c.Like))
	}
	stand := 0
	for _, t := range q.Targets {
		racks = append(racks, t.Rack)
		if t.Rack != m[3] {
			continue
		}
		if p := (capacity.Place{Site: t.Site, Rack: t.Rack}); !slices.Contains(c.Racks, p) {
			c.Racks = append(c.Racks, p)
		}
		if slices.Contains(c.Like, t.ID) {
			stand++
		}
	}
	if len(c.Racks) == 0 {
		hint := ""
		if near := config.Suggest(m[3], racks); near != "" {
			hint = ": did you mean " + strconv.Quote(near) + "?"
		}
		return nil, usageError("%s %q: no chosen server stands in rack %q%s", flag, text, m[3], hint)
	}
	return c, enough(flag, text, c, stand)
}

// enough refuses to take away more servers than stand there.
func enough(flag, text string, c *capacity.Change, stand int) error {
	if -c.N > stand {
		return usageError("%s %q: only %s of that kind can be taken away there", flag, text, plural(stand, "server"))
	}
	return nil
}
