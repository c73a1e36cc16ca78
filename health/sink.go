package health

// Rejected is one line that a sink's far end refused for ever: kept aside where a person can read it, so that it blocks
// nothing behind it.
type Rejected struct {
	Line  string // as it was sent; holds no secret
	Error string // the far end's words
	Seq   int64  // the visit it came from
}
