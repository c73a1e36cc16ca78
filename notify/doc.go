// Package notify tells people and their tools what changed: Alertmanager, webhooks, mail, and heartbeats by which a dead dewline is
// noticed.
//
// # How an event becomes a message
//
// Each receiver follows the committed events with a cursor of its own, in a goroutine of its own: one that is down blocks no other.
// What it is to be told of gets a row in the store (health.Notice), in the commit that moves the cursor, and loses it when the
// receiver has confirmed the message. So what was committed before a kill is told after it, at least once and with the same
// event IDs. The rows are bounded (maxQueue): beyond that the cursor waits, since the record of events is the queue.
//
// Rows are grouped by incident, else by site and rack. A group waits a moment (Wait) for what belongs together, and then Interval
// between messages, unless something worse than last time is in it: a storm is one message per group and interval. After an outage
// or when the rate limit has held messages back, all groups that are due share one summary. Nothing is dropped for the limit: what it
// held back is in the next message, which says how much that is.
//
// # Silences
//
// An event that a silence chooses gets its row all the same, with the silence's ID. When that is over, one row per fault stays: of
// what is still open, and of what ended while the receiver had been told of its beginning. What began and ended inside the silence is
// in the record, and the next message says how many events those were.
//
// # Routing
//
// A receiver has a least severity. The end of a fault, or its getting better, goes to whoever was told of it at its worst.
//
// # Receivers
//
// Alertmanager wants state: open faults are sent again every Resend with an end some way ahead, so that they end there if dewline
// dies, and resolved when they are over. Faults that began inside a silence are left out of that; one that was already sent stays, or
// Alertmanager would call it resolved. Webhooks get the message as JSON, signed; mail gets a text.
package notify
