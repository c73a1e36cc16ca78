package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/storetest"
)

func TestAnOpenVerificationKeepsItsData(t *testing.T) {
	var log bytes.Buffer
	db := openIn(t, t.TempDir(), Options{
		Retention: Retention{Raw: time.Hour, Rollups: time.Hour, MaxBytes: 1}, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	hoursOfVisits(t, db, 1, 3, 60)
	pin := at(30)
	v := &health.Verification{
		ID: "v1", Incident: at(40), Targets: []health.TargetID{"t0"}, From: pin, Opened: at(41), Verdict: "inconclusive",
		Servers: []health.VerifiedServer{{Target: "t0", Verdict: "inconclusive"}}, Request: json.RawMessage(`{"a":1}`),
	}
	before, err := db.LastEvent(t.Context())
	must(t, err)
	event := health.Event{ID: "e-v1", Target: "t0", Class: health.ClassSystem, Kind: health.KindInfo, Transition: health.Momentary, Rule: health.RuleVerification, At: at(41)}
	must(t, db.SaveVerification(t.Context(), v, []health.Event{event}))
	must(t, db.SaveVerification(t.Context(), v, []health.Event{event})) // a repeat
	got, err := db.Verifications(t.Context(), false)
	must(t, err)
	if len(got) != 1 {
		t.Fatalf("%d are open", len(got))
	}
	if d := storetest.Diff(*v, got[0]); d != "" {
		t.Error(d)
	}
	// The event is in the chain, once, and who follows events meets it.
	after, err := db.EventsFrom(t.Context(), before, 10)
	must(t, err)
	if len(after) != 1 || after[0].ID != "e-v1" || after[0].Target != "t0" {
		t.Errorf("events %+v", after)
	}
	must(t, db.Chain(t.Context(), 1, func(Link) error { return nil }))

	v.Verdict = "verified"
	must(t, db.RenewVerification(t.Context(), v, nil))
	other := *v
	other.Verdict, other.Request = "fault_found", json.RawMessage(`{"a":2}`)
	must(t, db.RenewVerification(t.Context(), &other, nil)) // asked for otherwise meanwhile
	if got, err := db.Verifications(t.Context(), false); err != nil || len(got) != 1 || got[0].Verdict != "verified" {
		t.Errorf("renewed: %+v, %v", got, err)
	}

	must(t, db.retain(t.Context(), at(10_000)))
	st, err := db.Retention(t.Context())
	must(t, err)
	if !st.PinnedSince.Equal(pin) || !st.RawSince.Equal(pin) || st.RollupsSince.After(pin) || st.RollupsSince.IsZero() {
		t.Errorf("kept: %+v, want all since %s", st, pin)
	}
	if vs := storetest.All(t, db); len(vs) != 30*6 {
		t.Errorf("%d visits are left", len(vs))
	}
	if !bytes.Contains(log.Bytes(), []byte("what open verifications rest on")) {
		t.Errorf("nothing is said of the size: %s", log.String())
	}

	v.Closed, v.ClosedBy, v.ClosedAs = at(50), "me", "done"
	must(t, db.SaveVerification(t.Context(), v, nil))
	again := *v
	again.Closed = time.Time{}
	must(t, db.RenewVerification(t.Context(), &again, nil)) // computed while it was closed
	if open, err := db.Verifications(t.Context(), false); err != nil || len(open) != 0 {
		t.Errorf("open: %+v, %v", open, err)
	}
	if all, err := db.Verifications(t.Context(), true); err != nil || len(all) != 1 || all[0].ClosedBy != "me" {
		t.Errorf("all: %+v, %v", all, err)
	}
	must(t, db.retain(t.Context(), at(10_000)))
	if st, err = db.Retention(t.Context()); err != nil || !st.PinnedSince.IsZero() || !st.RawSince.IsZero() || !st.RollupsSince.IsZero() {
		t.Errorf("left when it is closed: %+v, %v", st, err)
	}
}

func TestRollupDaysAreTheRollupsOfEverySeries(t *testing.T) {
	db := openIn(t, t.TempDir(), Options{Retention: Retention{Raw: time.Hour}})
	hoursOfVisits(t, db, 1, 4, 40)
	m := storetest.NewMachine("t0", 4, 0)
	var late []*health.Visit
	for i := range 9 {
		late = append(late, m.Visit(at(40).Add(time.Duration(i)*10*time.Minute)))
	}
	record(t, db, late...) // hours that are not closed
	from, to := at(3.5), at(41)
	compare := func(what string) {
		t.Helper()
		got := map[health.SeriesID][]health.Rollup{}
		days := 0
		var last time.Time
		must(t, db.RollupDays(context.Background(), "t0", from, to, func(d health.RollupDay) error {
			if d.Day.After(last) {
				last, days = d.Day, days+1
			}
			got[d.SeriesID] = append(got[d.SeriesID], d.Rollups...)
			return nil
		}))
		if len(got) != 4 || days < 2 {
			t.Errorf("%s: %d series, %d days", what, len(got), days)
		}
		for s, r := range got {
			want, err := db.Rollups(t.Context(), "t0", s.Component, s.Quantity, from, to)
			must(t, err)
			if d := storetest.Diff(want, r); d != "" {
				t.Errorf("%s: %v: %s", what, s, d)
			}
		}
	}
	compare("visits there")
	must(t, db.retain(t.Context(), at(30)))
	compare("visits gone")
}
