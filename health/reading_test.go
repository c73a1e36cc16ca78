package health

import "testing"

func TestFieldOfIsTheInverseOfFieldName(t *testing.T) {
	seen := map[string]bool{}
	for _, q := range Quantities {
		if seen[string(q)] {
			t.Errorf("%s is listed twice", q)
		}
		seen[string(q)] = true
		for u := range unitFields {
			name := FieldName(q, u)
			gotQ, gotU, ok := FieldOf(name)
			if !ok || gotQ != q || gotU != u {
				t.Errorf("%s in %s is %q, which reads as %s in %s", q, u, name, gotQ, gotU)
			}
		}
	}
	for _, name := range []string{"", "state", "present", "speed_", "speed_rpms", "_rpm", "value_state", "temperature_celsius_x"} {
		if q, u, ok := FieldOf(name); ok {
			t.Errorf("%q reads as %s in %s", name, q, u)
		}
	}
}
