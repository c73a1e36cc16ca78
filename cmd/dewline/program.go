package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dewline/internal/config"
	"dewline/store/sqlite"
)

// Exit codes, documented in README.md.
const (
	exitOK          = 0
	exitFailed      = 1   // the command failed
	exitUsage       = 2   // usage, configuration, or a store newer than this program
	exitTargets     = 3   // some targets could not be read
	exitFaults      = 4   // faults present (with --fail-on)
	exitInterrupted = 130 // SIGINT or SIGTERM ended a command that was not done
)

// program is one run of the command line: what it prints to and where it looks. Tests make their own.
type program struct {
	stdout, stderr io.Writer
	getenv         func(string) string
	renewFirst     time.Duration // how soon after its start a daemon computes open verifications anew; 0: renewAfter
}

// exitError is an error that decides the exit code. A nil err has been told to the user already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// usageError marks what the user typed wrong.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

func (p *program) main(ctx context.Context, args []string) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &output{to: p.stdout, failed: cancel} // what nobody reads need not be asked of the BMCs
	p.stdout = out
	code := p.execute(ctx, args)
	switch err := out.error(); {
	case err == nil:
		return code
	case !errors.Is(err, syscall.EPIPE): // who reads through `head` knows
		fmt.Fprintf(p.stderr, "dewline: %s\n", printable(err.Error()))
	}
	return exitFailed
}

// execute runs the command and tells its error, unless that is only that standard output has failed.
func (p *program) execute(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailed
	exit, decided := errors.AsType[*exitError](err)
	switch {
	case decided:
		code = exit.code
		err = exit.err
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, sqlite.ErrNewer):
		code = exitUsage
	}
	if faults, ok := errors.AsType[config.Faults](err); ok {
		fmt.Fprintln(p.stderr, strings.TrimRight(faults.Error(), "\n")) // each line has its place already
		return exitUsage
	}
	if out, ok := p.stdout.(*output); err != nil && !(ok && errors.Is(err, out.error())) {
		fmt.Fprintf(p.stderr, "dewline: %s\n", printable(err.Error()))
	}
	return code
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "dewline",
		Short: "hardware health of servers, read from their BMCs",
		Long: `dewline reads every server's BMC over Redfish or IPMI on a schedule: fans, power supplies, disks, temperatures,
power, and moisture. It turns what changes into fault events and keeps the history, in InfluxDB too if you have one.
It only reads. All that it makes at a BMC, and deletes again, is the session it logs in with.`,
		Example: `  dewline demo                                  six simulated servers and a roof leak; no configuration
  dewline poll --address https://10.0.0.7 --username monitor --password env:BMC_PASSWORD
  dewline check -c dewline.toml                 every fault of a configuration, with its place
  dewline run -c dewline.toml                   the daemon`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			if cmd.Name() == "run" || signal.Ignored(syscall.SIGHUP) { // the daemon takes it for a wish to reload; nohup(1) ignores it
				return
			}
			ctx, _ := signal.NotifyContext(cmd.Context(), syscall.SIGHUP) // the terminal was closed: end clean
			cmd.SetContext(ctx)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w\nTry '%s --help'.", err, cmd.CommandPath())
	})
	root.AddCommand(p.demoCommand(), p.runCommand(), p.pollCommand(), p.reloadCommand(), p.checkCommand(), p.statusCommand(), p.quirksCommand(), p.incidentsCommand(), p.backupCommand(),
		p.exportCommand(), p.reportCommand(), p.versionCommand())
	root.AddCommand(p.recordCommand(), p.simCommand(), p.quarantineCommand())
	root.AddCommand(p.faultsCommand(), p.eventsCommand(), p.ackCommand(), p.silenceCommand(), p.notifyCommand())
	checkArguments(root)
	root.Args = func(_ *cobra.Command, given []string) error {
		if len(given) > 0 {
			return usageError("unknown command %q\nTry 'dewline --help'.", given[0])
		}
		return nil
	}
	return root
}

// checkArguments makes wrong arguments usage errors, in all commands alike.
func checkArguments(parent *cobra.Command) {
	for _, c := range parent.Commands() {
		checkArguments(c)
		if c.Args == nil {
			c.Args = cobra.NoArgs
		}
		args := c.Args
		c.Args = func(cmd *cobra.Command, given []string) error {
			if err := args(cmd, given); err != nil {
				return usageError("%w\nTry '%s --help'.", err, cmd.CommandPath())
			}
			return nil
		}
	}
}

// format is the value of -o.
type format string

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }
func (f *format) Set(s string) error {
	if s != "table" && s != "json" {
		return fmt.Errorf("%q is no format: table or json", s)
	}
	*f = format(s)
	return nil
}

// outputFlag adds -o to a reading command.
func outputFlag(cmd *cobra.Command) *format {
	f := format("table")
	cmd.Flags().VarP(&f, "output", "o", "format of the output: table or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return &f
}

func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "", "configuration `file` (default ./dewline.toml, then /etc/dewline/dewline.toml)")
}

// loadConfig finds, reads and checks the configuration.
func loadConfig(flag string) (*config.Config, error) {
	path, err := config.Find(flag)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	cfg, err := readConfig(path)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return cfg, nil
}

// terminal tells whether w is a terminal, and its size.
func terminal(w io.Writer) (width, height int, ok bool) {
	if o, ok := w.(*output); ok {
		w = o.to
	}
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		return 80, 24, true
	}
	return width, height, true
}
