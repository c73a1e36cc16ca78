package influx

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"dewline/store/influx/influxtest"
	"dewline/store/storetest"
)

// chainLog is a log whose events are chained.
type chainLog struct {
	*storetest.Memory
	head string
}

func (c chainLog) ChainHead(context.Context) (string, int64, error) { return c.head, 7, nil }

func TestTheChainIsAnchoredOnceADay(t *testing.T) {
	t.Parallel()
	srv := influxtest.Start(t)
	srv.Query("", `CREATE DATABASE hardware`)
	m := storetest.NewMemory()
	rng := rand.New(rand.NewPCG(1, 0))
	const days = 3
	for day := range days {
		for n := range 4 {
			record(t, m, random(rng, day*24*60+n))
		}
	}
	s, _ := newSink(t, realOptions(srv), chainLog{m, "c0ffee"}, nil)
	s.batch = 10
	run(t, s)
	until(t, func() bool { return cursor(t, m) == days*4 })
	rows := srv.Query("hardware", `SELECT head, length FROM hw_chain`)
	if len(rows) != 1 || len(rows[0].Values) != days {
		t.Fatalf("anchors %v, want %d", rows, days)
	}
	for i, row := range rows[0].Values {
		if row[1] != "c0ffee" || number(t, row[2]) != 7 || number(t, row[0]) != float64(t0.Truncate(24*time.Hour).AddDate(0, 0, i).UnixNano()) {
			t.Errorf("anchor %d: %v", i, row)
		}
	}
}

func number(t *testing.T, v any) float64 {
	t.Helper()
	n, ok := v.(json.Number)
	if !ok {
		t.Fatalf("%v is a %T", v, v)
	}
	f, err := n.Float64()
	if err != nil {
		t.Fatal(err)
	}
	return f
}
