package ipmi

import (
	"encoding/json"
	"testing"
)

func TestWhatAFirmwareDoesIsLearnedAnewUnderAnother(t *testing.T) {
	m := &memory{
		Version: memoryVersion, Suite: 17, DCMI: 2, FRUChunk: 16, Leaks: map[string]uint16{"rope": 1},
		SDR: &repository{Stamp: stamp{Count: 3, Add: 7}, Chunk: 32},
	}
	if m.under("1.20") || m.DCMI != 2 || m.SDR.Chunk != 32 {
		t.Errorf("the first firmware that is seen is no other one: %+v", m)
	}
	if m.under("") || m.under("1.20") {
		t.Error("the same firmware, or none told, is no other one")
	}
	if !m.under("1.21") || m.Firmware != "1.21" || m.DCMI != 0 || m.FRUChunk != 0 || m.SDR.Chunk != wholeRecord || m.SDR.Stamp != (stamp{}) {
		t.Errorf("another firmware: %+v, %+v", m, m.SDR)
	}
	if m.Leaks["rope"] != 1 {
		t.Error("how a detector stood when first seen is no matter of firmware")
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := loadMemory(raw); err != nil || again.Firmware != "1.21" {
		t.Errorf("kept as %+v, %v", again, err)
	}
}

func TestLearnedOfNothing(t *testing.T) {
	for name, raw := range map[string]json.RawMessage{"nothing": nil, "no JSON": json.RawMessage("{"), "another version": json.RawMessage(`{"v":99}`)} {
		if _, ok := Learned(raw); ok {
			t.Errorf("%s was learned", name)
		}
	}
}
