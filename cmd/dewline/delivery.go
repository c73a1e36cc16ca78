package main

import (
	"context"
	"sync"

	"dewline/store/influx"
)

// delivery is a sink that a reload can replace while it runs. The cursor in the store is one and the same, so the new one
// goes on where the old one stopped.
type delivery struct {
	mu   sync.Mutex
	sink *influx.Sink
	next chan *influx.Sink // holds one: the newest
}

func newDelivery(s *influx.Sink) *delivery {
	return &delivery{sink: s, next: make(chan *influx.Sink, 1)}
}

// Run delivers until ctx ends, and returns nil then.
func (d *delivery) Run(ctx context.Context) error {
	for {
		d.mu.Lock()
		sink := d.sink
		d.mu.Unlock()
		sinkCtx, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- sink.Run(sinkCtx) }()
		select {
		case err := <-done:
			stop()
			return err
		case next := <-d.next:
			stop() // what it did not deliver, the next one does
			if err := <-done; err != nil {
				return err
			}
			d.mu.Lock()
			d.sink = next
			d.mu.Unlock()
		}
	}
}

// replace makes another sink deliver from now on. Calls are made one at a time.
func (d *delivery) replace(s *influx.Sink) {
	select {
	case <-d.next:
	default:
	}
	d.next <- s
}

// State is how delivery stands now.
func (d *delivery) State() influx.State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sink.State()
}
