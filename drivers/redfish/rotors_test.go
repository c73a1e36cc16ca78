package redfish

import (
	"fmt"
	"slices"
	"testing"

	"dewline/health"
)

// rotorTree is a machine with the newer tree only. fan and sensor are further properties of each.
func rotorTree(fans, sensors map[string]string) map[string]string {
	const c = "/redfish/v1/Chassis/1"
	members := func(place string, m map[string]string, tree map[string]string) {
		list := ""
		for id, more := range m {
			u := place + "/" + id
			tree[u] = fmt.Sprintf(`{"@odata.id":%q,"Id":%q,"Status":{"State":"Enabled","Health":"OK"}%s}`, u, id, more)
			if list != "" {
				list += ","
			}
			list += fmt.Sprintf(`{"@odata.id":%q}`, u)
		}
		tree[place] = `{"Members":[` + list + `]}`
	}
	tree := map[string]string{
		rootURI:                 `{"Chassis":{"@odata.id":"/redfish/v1/Chassis"},"Links":{"Sessions":{"@odata.id":"/redfish/v1/SessionService/Sessions"}}}`,
		"/redfish/v1/Chassis":   `{"Members":[{"@odata.id":"/redfish/v1/Chassis/1"}]}`,
		c:                       `{"@odata.id":"/redfish/v1/Chassis/1","ThermalSubsystem":{"@odata.id":"/redfish/v1/Chassis/1/ThermalSubsystem"},"Sensors":{"@odata.id":"/redfish/v1/Chassis/1/Sensors"}}`,
		c + "/ThermalSubsystem": `{"Fans":{"@odata.id":"/redfish/v1/Chassis/1/ThermalSubsystem/Fans"}}`,
	}
	members(c+"/ThermalSubsystem/Fans", fans, tree)
	members(c+"/Sensors", sensors, tree)
	return tree
}

func TestAFanAndItsTachometerAreOne(t *testing.T) {
	const (
		tach  = `,"ReadingType":"Rotational","ReadingUnits":"RPM","Reading":9000`
		names = `,"RelatedItem":[{"@odata.id":"/redfish/v1/Chassis/1/ThermalSubsystem/Fans/A"}]`
	)
	for _, c := range []struct {
		what          string
		fans, sensors map[string]string
		want          []health.ComponentID
		speeds        int
	}{
		{
			"the same Id in the same chassis",
			map[string]string{"Fan.1A": `,"SpeedPercent":{"SpeedRPM":9000}`}, map[string]string{"Fan.1A": tach},
			[]health.ComponentID{"fan/Fan.1A"}, 1,
		},
		{
			"the sensor names the fan",
			map[string]string{"A": `,"SpeedPercent":{"Reading":40}`, "B": ""}, map[string]string{"t1": tach + names},
			[]health.ComponentID{"fan/A", "fan/B"}, 1,
		},
		{
			"two rotors of one fan are not guessed at",
			map[string]string{"A": ""}, map[string]string{"t1": tach + names, "t2": tach + names},
			[]health.ComponentID{"fan/A", "fan/t1", "fan/t2"}, 2,
		},
		{
			"a temperature with the Id of a fan is no rotor",
			map[string]string{"A": ""}, map[string]string{"A": `,"ReadingType":"Temperature","ReadingUnits":"Cel","Reading":30`},
			[]health.ComponentID{"fan/A"}, 0,
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			srv := newService(t, rotorTree(c.fans, c.sensors))
			cl := srv.open(t)
			s := read(t, cl, health.Request{Tiers: health.EveryTier})
			for _, what := range []struct {
				name  string
				tiers health.Tiers
			}{{"first", 0}, {"readings", health.TiersOf(health.TierReadings)}, {"health", health.TiersOf(health.TierHealth)}, {"again", health.EveryTier}} {
				now := s
				if what.tiers != 0 {
					now = read(t, cl, health.Request{Tiers: what.tiers, Memory: s.Memory})
				}
				checkSnapshot(t, now)
				if got := ids(now, health.ClassFan); !slices.Equal(got, c.want) {
					t.Errorf("%s: %v, want %v", what.name, got, c.want)
				}
				n := 0
				for _, r := range now.Readings {
					if r.Quantity == health.Speed {
						n++
					}
				}
				if n != c.speeds {
					t.Errorf("%s: %d speeds, want %d", what.name, n, c.speeds)
				}
			}
		})
	}
}
