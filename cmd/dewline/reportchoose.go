package main

import (
	"context"
	"slices"
	"strconv"

	"dewline/health"
	"dewline/internal/config"
	"dewline/report"
	"dewline/report/verification"
	"dewline/store/sqlite"
)

// choose settles which servers are affected, and which may be compared with.
func choose(ctx context.Context, r report.Reader, db *sqlite.DB, o *verificationOptions, q *verification.Request) error {
	targets, err := r.Targets(ctx)
	if err != nil {
		return err
	}
	if o.fromIncident != "" {
		if db == nil {
			return usageError("--from-incident: incidents are in the store, and there is none: give --incident TIME")
		}
		found, err := db.Incidents(ctx, health.IncidentFilter{ID: o.fromIncident})
		if err != nil {
			return err
		}
		switch len(found) {
		case 0:
			return usageError("there is no incident %q: see `dewline incidents`", o.fromIncident)
		case 1:
		default:
			return usageError("%d incidents begin with %q: give more of the ID", len(found), o.fromIncident)
		}
		i := found[0]
		q.IncidentID, q.Incident, q.FirstEvidence = i.ID, i.Found, i.Opened
		for _, t := range i.Targets {
			o.targets = append(o.targets, string(t.Target))
		}
	}
	if err := knownNames(r, o, q, targets); err != nil {
		return err
	}
	for _, t := range targets {
		if slices.Contains(o.targets, string(t.ID)) || t.Rack != "" && slices.Contains(o.racks, t.Rack) || t.Site != "" && slices.Contains(o.sites, t.Site) {
			q.Targets = append(q.Targets, t.ID)
		}
	}
	if len(q.Targets) == 0 {
		return usageError("no server is chosen: --target, --rack or --site, or --from-incident")
	}
	models := map[string]bool{}
	for _, id := range q.Targets {
		_, identity, _, err := r.Parts(ctx, id, q.GeneratedAt)
		if err != nil {
			return err
		}
		models[identity.Model] = true
	}
	for _, t := range targets {
		if slices.Contains(q.Targets, t.ID) {
			continue
		}
		_, identity, ok, err := r.Parts(ctx, t.ID, q.GeneratedAt)
		if err != nil {
			return err
		}
		if ok && identity.Model != "" && models[identity.Model] {
			q.Controls = append(q.Controls, t.ID)
		}
	}
	return nil
}

// knownNames refuses what is named and is not there: a report without the rack that was meant would be taken for one with it.
func knownNames(r report.Reader, o *verificationOptions, q *verification.Request, targets []health.Target) error {
	var names, racks, sites []string
	for _, t := range targets {
		names, racks, sites = append(names, string(t.ID)), append(racks, t.Rack), append(sites, t.Site)
	}
	var attested []string
	for _, a := range q.Attestations {
		for _, t := range a.Targets {
			attested = append(attested, string(t))
		}
	}
	for _, x := range []struct {
		where, what string
		named, have []string
	}{
		{"", "target", o.targets, names}, {"", "rack", o.racks, racks}, {"", "site", o.sites, sites}, {o.attestations + ": ", "target", attested, names},
	} {
		for _, name := range x.named {
			if name != "" && slices.Contains(x.have, name) {
				continue
			}
			hint := ""
			if near := config.Suggest(name, x.have); near != "" {
				hint = ": did you mean " + strconv.Quote(near) + "?"
			}
			return usageError("%s%s knows no %s %q%s", x.where, r.Source(), x.what, name, hint)
		}
	}
	return nil
}
