package health

import "time"

// Rejected is one line that a sink's far end refused for ever: kept aside where a person can read it, so that it blocks
// nothing behind it, and can have it sent again.
type Rejected struct {
	ID       int64     // the store's; 0 before it is kept
	Line     string    // as it was sent; holds no secret
	Error    string    // the far end's words
	Seq      int64     // the visit it came from
	At       time.Time // when it was refused; given by the store
	Released bool      // a person wants it sent again
}
