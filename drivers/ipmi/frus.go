package ipmi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dewline/health"
)

const (
	maxFRUs = 32
	// maxFRUReads bounds the requests for FRU data in one visit: 32 devices of three areas are a thousand of 16 bytes.
	maxFRUReads = 2000
	// forFRUs is the part of the patience after which no further device is begun; thresholds come after them.
	forFRUs = 0.65
)

// errFRUBudget: a device takes more time, or requests, than a visit has for all of them.
var errFRUBudget = &health.Error{
	Reason: health.ReasonBudget, Op: "read FRU", Err: errors.New("it takes more of the visit than there is: left for the next inventory"),
}

// slowFRUs is there while the FRU devices of a BMC do not fit into one inventory: they are read in turn then, over several.
type slowFRUs struct {
	Seconds float64   `json:"seconds"` // of one device, roughly
	Since   time.Time `json:"since"`
	Members int       `json:"members"`
	After   uint8     `json:"after"`          // the device read last
	Round   time.Time `json:"round,omitzero"` // when the last whole round of them began
}

// frusInTurn are the devices in the order in which this inventory reads them: the machine's own, then the others, from where the
// last inventory left off; and whether they are all there are.
func (v *visit) frusInTurn() (list []locator, all bool) {
	list, all = []locator{{fru: 0, name: "FRU 0"}}, true
	if v.mem.SDR == nil {
		return list, all
	}
	var others []locator
	for _, l := range v.mem.SDR.frus {
		if l.fru != 0 {
			others = append(others, l)
		}
	}
	slices.SortFunc(others, func(a, b locator) int { return cmp.Compare(a.fru, b.fru) })
	if n := len(others); n > maxFRUs-1 {
		v.gap(health.Gap{Part: fmt.Sprintf("FRU devices past the first %d", maxFRUs), Reason: health.ReasonTooLarge, Error: fmt.Sprintf("%d devices", n+1)})
		others, all = others[:maxFRUs-1], false
	}
	if s := v.mem.SlowFRUs; s != nil {
		from := 0
		for from < len(others) && others[from].fru <= s.After {
			from++
		}
		others = slices.Concat(others[from:], others[:from])
	}
	return append(list, others...), all
}

// readFRUs reads the inventory data of the machine (FRU 0) and of the parts that the repository has locators for: all of them,
// or as many as there is time for, and one at least.
func (v *visit) readFRUs(ctx context.Context, id *health.Identity) error {
	list, whole := v.frusInTurn()
	began, read := v.clock(), 0
	for i, l := range list {
		if i > 1 && (v.spent(forFRUs) || v.fruReads >= maxFRUReads) {
			break
		}
		inv, err := v.readFRU(ctx, l.fru)
		read++
		if err != nil {
			if !isAnyCode(err) && !isRecordError(err) && !errors.Is(err, errFRU) && !errors.Is(err, errFRUBudget) {
				v.gap(health.Gap{Part: "FRU " + l.name, Place: placeFRU, Reason: health.ReasonFor(err), Error: clip(err.Error())})
				if i == 0 {
					v.snap.Identity = nil // without it, half of what is known would seem to be gone
				}
				return err
			}
			// No such device, or one that is away, is no gap: empty bays have locators too.
			if !isCode(err, codeNotPresent, codeInvalidCommand, codeNotInThisState, codeInvalidField) {
				whole = false
				reason := health.ReasonFor(err)
				if errors.Is(err, errFRU) {
					reason = health.ReasonMalformed
				}
				v.gap(health.Gap{Part: "FRU " + l.name, Reason: reason, Error: clip(err.Error())})
				if i == 0 && errors.Is(err, errFRUBudget) {
					v.snap.Identity = nil
				}
			}
		}
		if inv == nil {
			continue
		}
		v.any = true
		if l.fru == 0 {
			inv.identity(id)
			continue
		}
		v.describe(l, inv)
	}
	left := list[read:]
	if len(left) > 0 {
		whole = false
		v.gap(health.Gap{
			Part: fmt.Sprintf("FRU data of %d devices", len(left)), Place: placeFRU, Reason: health.ReasonBudget, Error: "a slow BMC: read in turn, over several inventories",
		})
	}
	if whole {
		v.scope(placeFRU)
	}
	v.settleFRUs(list[:read], left, v.clock().Sub(began))
	return nil
}

// settleFRUs learns whether the devices fit into one inventory, and where the next one goes on.
func (v *visit) settleFRUs(read, left []locator, took time.Duration) {
	s := v.mem.SlowFRUs
	if len(left) == 0 {
		if s != nil {
			v.log.Info("all FRU data fits into one inventory again")
		}
		v.mem.SlowFRUs = nil
		return
	}
	now := v.now.UTC().Truncate(time.Second)
	each := roughly(took.Seconds() / float64(len(read)))
	last := read[len(read)-1].fru
	if s == nil {
		s = &slowFRUs{Since: now, Round: now}
		v.mem.SlowFRUs = s
		v.log.Warn("a slow BMC: its FRU data is read in turn from now on, over several inventories", "seconds_each", each, "devices", len(read)+len(left))
	} else if last < s.After { // the round is through
		s.Round = now
	}
	s.Seconds, s.Members, s.After = each, len(read)+len(left), last
}
