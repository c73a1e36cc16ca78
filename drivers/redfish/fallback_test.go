package redfish

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"dewline/health"
)

// againTree is the classic machine whose drives are told of three times: in Storage, under the chassis with other URIs, and
// in SimpleStorage without serial numbers.
func againTree(t *testing.T) map[string]string {
	tree := ownTree(t, "classic")
	edit := func(uri string, f func(d map[string]any)) {
		var d map[string]any
		if err := json.Unmarshal([]byte(tree[uri]), &d); err != nil {
			t.Fatal(err)
		}
		f(d)
		b, _ := json.Marshal(d)
		tree[uri] = string(b)
	}
	edit("/redfish/v1/Systems/1", func(d map[string]any) {
		d["SimpleStorage"] = map[string]any{"@odata.id": "/redfish/v1/Systems/1/SimpleStorage"}
	})
	tree["/redfish/v1/Systems/1/SimpleStorage"] = `{"Members":[{"@odata.id":"/redfish/v1/Systems/1/SimpleStorage/1"}]}`
	tree["/redfish/v1/Systems/1/SimpleStorage/1"] = `{"Id":"1","Devices":[{"Name":"SATA A","Status":{"Health":"OK"}},{"Name":"SATA B","Status":{"Health":"OK"}}]}`
	edit("/redfish/v1/Chassis/1", func(d map[string]any) {
		d["Drives"] = map[string]any{"@odata.id": "/redfish/v1/Chassis/1/Drives"}
	})
	var members []string
	for i, from := range []string{"RAID/Drives/0", "RAID/Drives/1", "AHCI/Drives/0"} {
		u := fmt.Sprintf("/redfish/v1/Chassis/1/Drives/20%d", i)
		members = append(members, fmt.Sprintf(`{"@odata.id":%q}`, u))
		tree[u] = strings.ReplaceAll(tree["/redfish/v1/Systems/1/Storage/"+from], "/redfish/v1/Systems/1/Storage/"+from, u)
	}
	tree["/redfish/v1/Chassis/1/Drives"] = `{"Members":[` + strings.Join(members, ",") + `]}`
	return tree
}

func ids(s *health.Snapshot, class health.Class) []health.ComponentID {
	var l []health.ComponentID
	for _, c := range ofClass(s, class) {
		l = append(l, c.ID)
	}
	slices.Sort(l)
	return l
}

func TestAnotherTreeIsNoSubstituteForAnUnreadOne(t *testing.T) {
	for _, broken := range []string{"Storage", "Storage/RAID", "Storage/RAID/Drives/1"} {
		t.Run(broken+" unread", func(t *testing.T) {
			srv := newService(t, againTree(t))
			hurt := func(on bool) {
				srv.onRequest(func(w http.ResponseWriter, r *http.Request) bool {
					if on && r.URL.Path == "/redfish/v1/Systems/1/"+broken {
						w.WriteHeader(http.StatusServiceUnavailable)
						return true
					}
					return false
				})
			}
			whole := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
			if n := len(ids(whole, health.ClassDrive)); n != 3 {
				t.Fatalf("%d drives, want 3", n)
			}
			hurt(true)
			part := read(t, srv.open(t), health.Request{Tiers: health.EveryTier, Memory: whole.Memory})
			checkSnapshot(t, part)
			for _, c := range part.Components {
				was := component(whole, c.ID)
				if was == nil {
					t.Errorf("%s is new: nothing was put in", c.ID)
				} else if was.Serial != c.Serial || was.Place != c.Place {
					t.Errorf("%s was %q at %s and is %q at %s", c.ID, was.Serial, was.Place, c.Serial, c.Place)
				}
			}
			if !slices.Equal(ids(part, health.ClassDrive), ids(whole, health.ClassDrive)) {
				t.Errorf("the chassis still tells of the drives %v: %v", ids(whole, health.ClassDrive), ids(part, health.ClassDrive))
			}
			goneSince(t, whole, part)

			// A BMC first met in this state: the drives are unread, not named otherwise.
			first := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
			for _, id := range ids(first, health.ClassDrive) {
				if component(whole, id) == nil {
					t.Errorf("first met with an unread tree: %s is a name of another one", id)
				}
			}
			hurt(false)
			then := read(t, srv.open(t), health.Request{Tiers: health.EveryTier, Memory: first.Memory})
			if !slices.Equal(ids(then, health.ClassDrive), ids(whole, health.ClassDrive)) {
				t.Errorf("first met with an unread tree, then read: %v", ids(then, health.ClassDrive))
			}
			goneSince(t, first, then)
		})
	}
}

func goneSince(t *testing.T, before, now *health.Snapshot) {
	t.Helper()
	k := health.NewKnown("t")
	for _, x := range before.Components {
		k.Components[x.ID] = health.KnownComponent{Component: x}
	}
	v := &health.Visit{Result: health.Done, Snapshot: now, Due: map[health.Tier]time.Time{}}
	for _, tier := range health.AllTiers {
		v.Due[tier] = now.At
	}
	for _, c := range before.Components {
		if k.Gone(c, v) {
			t.Errorf("%s seems gone", c.ID)
		}
	}
}

func TestSimpleStorageIsReadWhereNothingBetterIs(t *testing.T) {
	tree := againTree(t)
	for u := range tree {
		if strings.HasPrefix(u, "/redfish/v1/Chassis/1/Drives") || strings.HasPrefix(u, "/redfish/v1/Systems/1/Storage") {
			delete(tree, u)
		}
	}
	srv := newService(t, tree)
	s := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
	want := []health.ComponentID{"drive/1:SATA_A", "drive/1:SATA_B"}
	if got := ids(s, health.ClassDrive); !slices.Equal(got, want) {
		t.Errorf("%v, want %v; gaps %v", got, want, s.Gaps)
	}
	// Also while it is read again with what was learned.
	if got := ids(read(t, srv.open(t), health.Request{Tiers: health.TiersOf(health.TierHealth), Memory: s.Memory}), health.ClassDrive); !slices.Equal(got, want) {
		t.Errorf("the second time %v, want %v", got, want)
	}
}

func TestDriveWithoutItsSerialNumberStaysOne(t *testing.T) {
	srv := newService(t, againTree(t))
	s := read(t, srv.open(t), health.Request{Tiers: health.EveryTier})
	const u = "/redfish/v1/Systems/1/Storage/RAID/Drives/1"
	srv.set(u, strings.Replace(againTree(t)[u], `"RAID1"`, `""`, 1))
	now := read(t, srv.open(t), health.Request{Tiers: health.EveryTier, Memory: s.Memory})
	if !slices.Equal(ids(now, health.ClassDrive), ids(s, health.ClassDrive)) {
		t.Errorf("%v were %v", ids(now, health.ClassDrive), ids(s, health.ClassDrive))
	}
}

func TestTellerIsKeptAndForgottenWithTheFirmware(t *testing.T) {
	for _, c := range []struct {
		what  string
		was   teller
		n     int
		whole bool
		is    teller
	}{
		{"drives in Storage", tellerUnknown, 2, true, byStorage},
		{"some drives, the rest unread", tellerUnknown, 1, false, byStorage},
		{"an empty Storage", tellerUnknown, 0, true, byFallback},
		{"an unread Storage says nothing", tellerUnknown, 0, false, tellerUnknown},
		{"a Storage empty while the host boots", byStorage, 0, true, byStorage},
		{"a Storage that gets its first drive", byFallback, 1, true, byStorage},
		{"an unread Storage that never told of any", byFallback, 0, false, byFallback},
	} {
		got := c.was
		if got.learn(c.n, c.whole); got != c.is {
			t.Errorf("%s: %q, want %q", c.what, got, c.is)
		}
	}
	m := newMemory()
	m.Systems = []system{{URI: "/redfish/v1/Systems/1", DrivesBy: byStorage, VolumesBy: byFallback}}
	m.forget()
	if s := m.Systems[0]; s.DrivesBy != tellerUnknown || s.VolumesBy != tellerUnknown {
		t.Errorf("a new firmware is learned anew: %+v", s)
	}
}
