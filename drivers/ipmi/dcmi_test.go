package ipmi

import (
	"slices"
	"testing"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

func limitsOf(s *health.Snapshot) (watts []float64) {
	for _, r := range s.Readings {
		if r.Quantity == health.PowerLimit {
			if r.Component != idDCMI || r.Unit != health.Watt {
				return []float64{-1}
			}
			watts = append(watts, r.Value)
		}
	}
	return watts
}

func TestDCMIPowerLimit(t *testing.T) {
	inForce := func(low, high byte) func(command) ([]byte, error) {
		return func(command) ([]byte, error) {
			return []byte{0xdc, 0, 0, 1, low, high, 0xe8, 3, 0, 0, 0, 0, 1, 0}, nil
		}
	}
	code := func(c uint8) func(command) ([]byte, error) {
		return func(command) ([]byte, error) { return nil, refusal(c) }
	}
	broken := func(b ...byte) func(command) ([]byte, error) {
		return func(command) ([]byte, error) { return b, nil }
	}
	for _, x := range []struct {
		name        string
		dcmi, known int
		answer      func(command) ([]byte, error)
		watts       []float64
		asked       int // in three inventories
		learned     int
		gaps        int // in each that asked
	}{
		{"a limit that is in force", dcmiYes, dcmiUnknown, inForce(0xc2, 1), []float64{450}, 3, dcmiYes, 0},
		{"no limit set", dcmiYes, dcmiUnknown, code(0x80), nil, 3, dcmiYes, 0},
		{"no limit set any more", dcmiYes, dcmiYes, code(0x80), nil, 3, dcmiYes, 0},
		{"a limit of 0 W is none", dcmiYes, dcmiUnknown, inForce(0, 0), nil, 3, dcmiYes, 0},
		{"a limit of all ones is none", dcmiYes, dcmiUnknown, inForce(0xff, 0xff), nil, 3, dcmiYes, 0},
		{"a BMC that has no such command is asked once", dcmiYes, dcmiUnknown, code(codeInvalidCommand), nil, 1, dcmiNo, 0},
		{"a BMC that refuses it for want of privilege is asked once", dcmiYes, dcmiUnknown, code(codePrivilege), nil, 1, dcmiNo, 0},
		{"an answer of another group is none", dcmiYes, dcmiUnknown, broken(0, 0, 0, 1, 0xc2, 1, 0, 0, 0, 0, 0, 0, 0, 0), nil, 1, dcmiNo, 0},
		{"a short answer is none", dcmiYes, dcmiUnknown, broken(0xdc, 0, 0, 1, 0xc2, 1), nil, 1, dcmiNo, 0},
		{"a busy BMC is asked again", dcmiYes, dcmiUnknown, code(codeNodeBusy), nil, 3, dcmiUnknown, 0},
		{"a busy BMC that told before leaves a gap", dcmiYes, dcmiYes, code(codeNodeBusy), nil, 3, dcmiYes, 1},
		{"without power readings it is not asked", dcmiNo, dcmiUnknown, inForce(0xc2, 1), nil, 0, dcmiUnknown, 0},
		{"before power readings are known of it is not asked", dcmiUnknown, dcmiUnknown, inForce(0xc2, 1), nil, 0, dcmiUnknown, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFake(t)
			f.on(netFnGroup, 3, x.answer)
			v := f.visit(health.TierInventory)
			v.mem.DCMI, v.mem.DCMILimit = x.dcmi, x.known
			for range 3 {
				before := f.total
				v.snap = &health.Snapshot{}
				if err := v.readPowerLimit(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := limitsOf(v.snap); !slices.Equal(got, x.watts) {
					t.Errorf("limits %v, want %v", got, x.watts)
				}
				if n := len(v.snap.Gaps); n != x.gaps*(f.total-before) {
					t.Errorf("gaps %+v", v.snap.Gaps)
				}
				for _, c := range v.snap.Components {
					if c.ID != idDCMI || !c.StateNotRead {
						t.Errorf("the inventory alone says how the power is: %+v", c)
					}
				}
			}
			if f.total != x.asked || v.mem.DCMILimit != x.learned {
				t.Errorf("asked %d times, learned %d; want %d, %d", f.total, v.mem.DCMILimit, x.asked, x.learned)
			}
			if v.mem.under("1"); !v.mem.under("2") || v.mem.DCMILimit != dcmiUnknown {
				t.Error("what another firmware told is still held")
			}
		})
	}
}

// A limit is read with the inventory alone, and no sooner than power readings are known of; over a real session.
func TestPowerLimitOfASimulatedServer(t *testing.T) {
	m := bmcsim.NewMachine(bmcsim.ProfileBoard, "m", 1)
	srv, err := bmcsim.ServeIPMI(m, bmcsim.IPMIOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	c := openAt(t, srv.Addr(), func(o *Options) { o.Username, o.Password = srv.Username(), secret.New(srv.Password()) })
	inventory := health.TiersOf(health.TierInventory)
	for _, x := range []struct {
		name  string
		limit float64
		tiers health.Tiers
		watts []float64
	}{
		{"none is set", 0, health.EveryTier, nil},
		{"one is set, and all is read", 450, health.EveryTier, []float64{450}},
		{"readings alone", 450, health.TiersOf(health.TierReadings), nil},
		{"the inventory alone", 430, inventory, []float64{430}},
		{"it is no longer in force", 0, inventory, nil},
	} {
		m.SetPowerLimit(x.limit)
		s := mustRead(t, c, health.Request{Tiers: x.tiers})
		if got := limitsOf(s); !slices.Equal(got, x.watts) || len(s.Gaps) != 0 {
			t.Errorf("%s: limits %v, want %v; gaps %+v", x.name, got, x.watts, s.Gaps)
		}
		n := 0
		for _, c := range s.Components {
			if c.ID == idDCMI {
				n++
			}
		}
		if n > 1 {
			t.Errorf("%s: the power is told of %d times", x.name, n)
		}
	}
	if st := srv.Stats(); st.Writes != 0 || st.Bad != 0 {
		t.Errorf("what the BMC saw: %+v", st)
	}
}
