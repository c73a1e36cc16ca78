// Command dewline is the hardware health collector: it polls BMCs over Redfish and IPMI, turns what changes into fault
// events and keeps the history. `dewline --help` lists the commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	_ "time/tzdata" // cron specs name time zones, and a bare container or an appliance has no zone files
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
	}()
	os.Exit(p.main(ctx, os.Args[1:]))
}
