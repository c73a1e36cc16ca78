package redfish

import (
	"fmt"
	"strings"
	"testing"

	"dewline/health"
)

// An ID is cut to a length. Names that are the same up to there must end as parts of their own, and must end.
func TestNamesLongerThanAnID(t *testing.T) {
	const power = "/redfish/v1/Chassis/1/Power"
	long := strings.Repeat("Rail ", 60)
	tree := ownTree(t, "classic")
	change(t, tree, power, func(d map[string]any) {
		var rails []any
		for i := range 40 {
			rails = append(rails, map[string]any{"Name": fmt.Sprint(long, i), "ReadingVolts": i, "Status": map[string]any{"State": "Enabled", "Health": "OK"}})
		}
		d["Voltages"] = rails
	})
	s := read(t, newService(t, tree).open(t), health.Request{Tiers: health.EveryTier})
	checkSnapshot(t, s)
	seen := map[health.ComponentID]bool{}
	for _, c := range ofClass(s, health.ClassVoltage) {
		if seen[c.ID] || len(c.ID) > len(health.ClassVoltage)+1+maxIDText {
			t.Errorf("ID %q", c.ID)
		}
		seen[c.ID] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d of 40 rails", len(seen))
	}
}
