package redfish

import (
	"slices"
	"strconv"

	"dewline/health"
)

// mark identifies an entry that was read before.
type mark struct {
	ID  string `json:"i"`
	Key string `json:"k"`
}

// cursor is how far a log was read.
type cursor struct {
	Generation int    `json:"g"`
	Marks      []mark `json:"m"` // the newest entries read, newest first
	Count      int    `json:"n"` // entries in the log then
}

// follow finds the entries that are new since the cursor, and the next cursor.
func follow(cur *cursor, lst *listing, limit int, info *health.LogInfo) ([]entry, cursor) {
	all := lst.entries
	next := cursor{Generation: 1}
	fresh := all
	switch {
	case cur == nil:
		fresh = all[max(0, len(all)-limit):]
	case len(cur.Marks) == 0: // it was empty
		next.Generation = cur.Generation
	default:
		next.Generation = cur.Generation
		at := cur.place(all)
		switch {
		case at >= 0:
			fresh = all[at+1:]
		case len(all) == 0:
			if info.More {
				next.Marks, next.Count = cur.Marks, cur.Count
				return nil, next
			}
			info.Cleared = true
			next.Generation++
		case wrapped(cur, lst):
			info.Lost = true
		default:
			// IDs start anew: the log was cleared, and what it held until then may not all have been read.
			info.Cleared = true
			next.Generation++
		}
	}
	for i := len(all) - 1; i >= 0 && len(next.Marks) < maxMarks; i-- {
		next.Marks = append(next.Marks, all[i].mark)
	}
	if lst.total != nil {
		next.Count = *lst.total
	} else {
		next.Count = len(all)
	}
	return fresh, next
}

// place is where the newest entry that is known stands, -1 if none does. If the newest are gone and an older one is there, somebody deleted
// them, or the log was cleared and has an entry of the same number, second and words again: then what stands before it is not what stood there.
func (c *cursor) place(all []entry) int {
	for j, m := range c.Marks {
		at := slices.IndexFunc(all, func(e entry) bool { return e.mark == m })
		if at < 0 {
			continue
		}
		if j == 0 {
			return at
		}
		for k := 1; k <= at && j+k < len(c.Marks); k++ {
			if all[at-k].mark != c.Marks[j+k] {
				return -1
			}
		}
		return at
	}
	return -1
}

// wrapped tells a log that went on past everything known from one that was cleared: its IDs go on.
func wrapped(cur *cursor, lst *listing) bool {
	last, ok := numericID(cur.Marks[0].ID)
	first, ok2 := numericID(lst.entries[0].ID)
	if ok && ok2 {
		return first > last
	}
	n := len(lst.entries)
	if lst.total != nil {
		n = *lst.total
	}
	return n >= cur.Count
}

func numericID(id string) (int64, bool) {
	n, err := strconv.ParseInt(id, 10, 64)
	return n, err == nil
}
