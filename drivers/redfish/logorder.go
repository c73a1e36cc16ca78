package redfish

import (
	"cmp"
	"slices"
)

// newestFirst tells the order of a page: by the numbers of its entries, where they have some. Times go back where a BMC's clock was set, or was
// not yet when it had just booted (a Supermicro's log of 82 entries does so ten times); they decide where there are no numbers, or say with
// one voice that a service numbers from its newest entry on.
func newestFirst(l []entry) bool {
	var up, down, later, earlier int
	for i := range len(l) - 1 {
		a, b := &l[i], &l[i+1]
		if x, y := created(&a.doc), created(&b.doc); !x.IsZero() && !y.IsZero() {
			switch x.Compare(y) {
			case -1:
				later++
			case 1:
				earlier++
			}
		}
		x, ok := numericID(a.ID)
		y, ok2 := numericID(b.ID)
		switch {
		case !ok || !ok2:
		case x < y:
			up++
		case x > y:
			down++
		}
	}
	if up > 0 && down == 0 && later == 0 && earlier >= 3 {
		return true
	}
	if up != down {
		return down > up
	}
	return earlier > later
}

// spelled tells whether a list has its numbers in the order of their digits, 100 before 99, as bmcweb lists the entries of an NVIDIA HGX: its end is
// then not its newest.
func spelled(l []entry) bool {
	ascending := true
	for i := range l {
		n, ok := numericID(l[i].ID)
		if !ok {
			return false
		}
		if i > 0 {
			before, _ := numericID(l[i-1].ID)
			ascending = ascending && before <= n
			if l[i-1].ID > l[i].ID {
				return false
			}
		}
	}
	return !ascending
}

// inOrder tells whether what a log holds at its end has higher numbers than what it holds at its beginning, as far as they are numbers.
func inOrder(head, tail []entry) bool {
	if spelled(head) || spelled(tail) {
		return false
	}
	last, ok := int64(0), false
	for i := range head {
		if n, is := numericID(head[i].ID); is {
			last, ok = max(last, n), true
		}
	}
	first, is := numericID(tail[0].ID)
	// A log whose numbers have started anew is no proof of anything: it is read whole.
	return !ok || !is || first > last
}

// byNumber puts a spelled list into order, oldest first.
func byNumber(lst *listing) {
	slices.SortStableFunc(lst.entries, func(a, b entry) int {
		x, _ := numericID(a.ID)
		y, _ := numericID(b.ID)
		return cmp.Compare(x, y)
	})
	lst.newest = false
}
