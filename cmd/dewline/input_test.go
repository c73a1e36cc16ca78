package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
	"dewline/store/sqlite"
)

// freePort is one that was free a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestPushedAirReachesTheMachines: what a probe pushes is on disk when it is answered, also if the daemon is killed the next moment; its
// dew point is carried to the machines of its rack, also after the restart.
func TestPushedAirReachesTheMachines(t *testing.T) {
	t.Parallel()
	listen := freePort(t)
	_, config, data, env := room(t, fmt.Sprintf(`
[moisture]
alarm_delay = "0s"
[input]
listen = %q
token = "env:PUSH_TOKEN"
[[probe]]
name = "room-1"
site = "bontang"
[[probe.sensor]]
name = "room"
quantity = "humidity"
measurement = "snmp"
field = "rh"
[[probe.sensor]]
name = "room"
quantity = "temperature"
measurement = "snmp"
field = "celsius"
scale = 0.1
[[air]]
target = "room-1"
racks = ["A1"]
`, listen))
	env = append(env, "PUSH_TOKEN=correct-horse")
	push := func(token string, at time.Time) int {
		body := fmt.Sprintf("snmp,agent_host=10.0.0.9 rh=90,celsius=240i %d\n", at.UnixNano())
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listen+"/api/v2/write?bucket=x&precision=ns", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Token "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0 // it does not listen yet
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	d := startDaemon(t, config, env...)
	at := time.Now()
	eventually(t, "the input answers", func() bool { return push("correct-horse", at) == http.StatusNoContent })
	if code := push("wrong", at); code != http.StatusUnauthorized {
		t.Errorf("a wrong token is answered %d", code)
	}
	d.kill()
	look := func(what string, ok func(*sqlite.DB) bool) {
		t.Helper()
		eventually(t, what, func() bool {
			db, err := sqlite.OpenReadOnly(context.Background(), data)
			if err != nil {
				return false
			}
			defer db.Close()
			return ok(db)
		})
	}
	count := func(db *sqlite.DB) int {
		s, err := db.Series(context.Background(), "room-1", "humidity/room", health.RelativeHumidity, time.Time{}, time.Time{})
		if err != nil {
			return -1
		}
		return len(s)
	}
	look("the pushed reading is on disk, once", func(db *sqlite.DB) bool { return count(db) == 1 })

	restarted := time.Now()
	d = startDaemon(t, config, env...)
	// web-1 has no sense of humidity: its margin follows from the air that was read before the restart.
	look("the air reaches web-1", func(db *sqlite.DB) bool {
		cs, err := db.Components(context.Background(), "web-1")
		if err != nil {
			return false
		}
		for _, c := range cs {
			s, err := db.Series(context.Background(), "web-1", c.ID, health.CondensationMargin, restarted, time.Time{})
			if err == nil && len(s) > 0 {
				return s[0].Value > 0 && s[0].Value < 2
			}
		}
		return false
	})
	look("and is judged", func(db *sqlite.DB) bool {
		fs, err := db.Faults(context.Background(), sqlite.FaultFilter{Target: "web-1", Kind: health.KindCondensationRisk, Open: true})
		return err == nil && slices.ContainsFunc(fs, func(f health.Fault) bool {
			return f.Severity == health.SeverityCritical && strings.Contains(f.Message, "room-1")
		})
	})
	if code := push("correct-horse", at); code != http.StatusNoContent {
		t.Errorf("a repeated push is answered %d", code)
	}
	look("a repeated push changes nothing", func(db *sqlite.DB) bool { return count(db) == 1 })
	// The probe is configured: its watch did not end with the restart.
	look("the probe is watched", func(db *sqlite.DB) bool {
		all, err := db.Statuses(context.Background())
		return err == nil && slices.ContainsFunc(all, func(s sqlite.Status) bool { return s.Target == "room-1" && s.Access.State == health.AccessOK })
	})
	d.stop()
	if strings.Contains(d.stderr.String(), "correct-horse") {
		t.Error("the token is in the log")
	}
}
