package notify

import (
	"context"
	"time"
)

// Beat is a heartbeat to a URL: it stops when dewline does, or does not do its work.
type Beat struct {
	Options
	Name    string
	Every   time.Duration
	Timeout time.Duration
	Ping    *Ping
}

// Run beats until ctx ends, and returns nil then. A beat is written to the store before it is sent: a store that takes nothing stops it.
func (b *Beat) Run(ctx context.Context) error {
	said := ""
	tick := time.NewTicker(b.Every)
	defer tick.Stop()
	for {
		err := b.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch text := errText(err); {
		case text != "" && text != said:
			b.Log.Error("no heartbeat is sent", "receiver", b.Name, "err", text)
		case text == "" && said != "":
			b.Log.Info("heartbeats are sent again", "receiver", b.Name)
		}
		said = errText(err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (b *Beat) once(ctx context.Context) error {
	if err := b.Alive(ctx); err != nil {
		return err
	}
	if err := b.Store.Beat(ctx, b.Name, b.Now()); err != nil {
		return err
	}
	attempt, cancel := context.WithTimeout(ctx, b.Timeout)
	defer cancel()
	_, err := b.Ping.Ping(attempt, chainOf(ctx, b.Store))
	return err
}
