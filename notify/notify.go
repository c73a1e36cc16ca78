package notify

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"dewline/health"
)

// Store is where events come from and what is still to be told is kept.
type Store interface {
	Changed() <-chan struct{}
	EventsFrom(ctx context.Context, n int64, limit int) ([]health.NumberedEvent, error)
	ActionCount(ctx context.Context) (int64, error)
	Actions(ctx context.Context) ([]health.Action, error)
	Places(ctx context.Context) (map[health.TargetID]health.Target, error)
	FaultHistory(ctx context.Context, id string) ([]health.Event, error)
	FaultNow(ctx context.Context, id string) (*health.Fault, error)
	OpenFaults(ctx context.Context) ([]health.Fault, error)
	NotifierStates(ctx context.Context) ([]health.NotifierState, error)
	Notices(ctx context.Context, name string, silenced bool, limit int) ([]health.Notice, error)
	ChangeNotices(ctx context.Context, name string, c health.NoticeChange) error
	Beat(ctx context.Context, name string, at time.Time) error
	ChainHead(ctx context.Context) (head string, length int64, err error)
}

// Sender brings a message to a receiver. It returns once the receiver has confirmed it, and what that said. An error holds no secret.
type Sender interface {
	Send(ctx context.Context, m *health.Message) (answer string, err error)
}

// Refresher is a Sender whose receiver wants to be told again and again what is open.
type Refresher interface {
	Sender
	// Refresh tells what is open, and that dewline lives if alive, with the chain as it stands; nil: there is none yet.
	Refresh(ctx context.Context, open []health.MessageEvent, alive bool, chain *health.Chain) error
}

// Receiver is whom to tell what.
type Receiver struct {
	Name     string
	Match    health.Matcher
	Wait     time.Duration // for what belongs together
	Interval time.Duration // between two messages of a group
	PerHour  int           // messages at most; 0: no limit
	Resend   time.Duration // of a Refresher
	Timeout  time.Duration // of one attempt
	Sender   Sender
}

// Failure is why a receiver did not confirm.
type Failure struct {
	Err       error
	Permanent bool          // it refused this message: the same again will not help, others may pass
	After     time.Duration // it asked to be left alone so long
}

func (f *Failure) Error() string { return f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Options of a Follower.
type Options struct {
	Store Store
	Log   *slog.Logger
	Now   func() time.Time
	// Alive says why dewline does not do its work; nil while it does. Heartbeats stop then.
	Alive func(context.Context) error
}

const (
	// maxQueue bounds the rows of a receiver; what comes after them waits in the record of events.
	maxQueue = 5000
	// maxEvents bounds the events of one message; the rest comes in the next one.
	maxEvents = 1000
	fetch     = 500

	retryFirst = 2 * time.Second
	retryMost  = 5 * time.Minute
	// mostRetryAfter bounds what a receiver can ask for.
	mostRetryAfter = time.Hour
	idle           = time.Minute // it looks around at least so often: silences end by the clock
)

// chainOf is the chain as it stands, nil while no event is chained. It is worth no outage: a store that does not say has none, either.
func chainOf(ctx context.Context, s Store) *health.Chain {
	head, length, err := s.ChainHead(ctx)
	if err != nil || head == "" {
		return nil
	}
	return &health.Chain{Head: head, Length: length}
}

func failure(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return &Failure{Err: err}
}
