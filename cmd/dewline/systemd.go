package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// notifier tells systemd how the daemon stands: sd_notify(3), without its library. Without $NOTIFY_SOCKET it says nothing.
type notifier struct {
	socket   string        // a path, or @name of an abstract socket
	watchdog time.Duration // systemd kills the daemon after this long without a sign; 0: it does not
	log      *slog.Logger
}

func newNotifier(getenv func(string) string, log *slog.Logger) *notifier {
	n := &notifier{socket: getenv("NOTIFY_SOCKET"), log: log}
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 && usec < int64(1<<62/time.Microsecond) {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n
}

// say sends one message of VARIABLE=value lines. That systemd cannot be told is no reason to stop.
func (n *notifier) say(lines ...string) {
	if n.socket == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		defer c.Close()
		_, err = c.Write([]byte(strings.Join(lines, "\n")))
	}
	if err != nil {
		n.log.Debug("tell systemd", "err", err)
	}
}

func (n *notifier) ready(status string) { n.say("READY=1", "STATUS="+status) }
func (n *notifier) stopping()           { n.say("STOPPING=1", "STATUS=stopping: logging out of the BMCs") }

// reloading must be followed by ready. systemd compares the time with that of its own request.
func (n *notifier) reloading() {
	n.say("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", monotonic().Microseconds()), "STATUS=reloading the configuration")
}

// statusEvery is how often the status line is said anew.
const statusEvery = 30 * time.Second

// watch says the status line, and gives the sign of life while there is progress, until ctx ends. Trouble is said once per
// change: then the sign of life stays out, and systemd does what the unit says.
func (n *notifier) watch(ctx context.Context, status func() string, progress func(context.Context) error) {
	if n.socket == "" {
		return
	}
	every := statusEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog/2)
	}
	tick := time.NewTicker(max(every, time.Millisecond))
	defer tick.Stop()
	stuck := false
	for {
		lines := []string{"STATUS=" + status()}
		if n.watchdog > 0 {
			err := n.alive(ctx, every, progress)
			switch {
			case err == nil:
				lines = append(lines, "WATCHDOG=1")
			case ctx.Err() == nil && !stuck:
				n.log.Error("no progress: systemd's watchdog gets no sign of life", "err", err)
			}
			if err == nil && stuck {
				n.log.Info("progress again")
			}
			stuck = err != nil
		}
		n.say(lines...)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *notifier) alive(ctx context.Context, within time.Duration, progress func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return progress(ctx)
}
