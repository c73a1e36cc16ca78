package main

import (
	"io"
	"sync"
)

// output is standard output that remembers its first error. Commands print without looking; a full disk or a closed pipe
// must all the same not end with exit code 0, as if everything had been printed.
type output struct {
	to     io.Writer
	failed func() // called once, at the first error

	mu  sync.Mutex
	err error
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.to.Write(b)
	if err != nil {
		o.err = err
		o.failed()
	}
	return n, err
}

func (o *output) error() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
