// Command dewline is the hardware health collector: it polls BMCs over Redfish and IPMI, turns what changes into fault
// events and keeps the history. `dewline --help` lists the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "time/tzdata" // cron specs name time zones, and a bare container or an appliance has no zone files
)

// sameSignal is how long a signal may repeat and still be the same one: timeout(1) and some supervisors send it to the
// process and then to its group, which must not turn a clean stop into a kill.
const sameSignal = time.Second

func main() {
	signal.Ignore(syscall.SIGPIPE) // a closed pipe is an error of the write: `dewline poll | head` still logs out of the BMCs
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		time.Sleep(sameSignal)
		stop() // from here on a further signal ends the program at once
	}()
	p := &program{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	os.Exit(p.main(ctx, os.Args[1:]))
}
