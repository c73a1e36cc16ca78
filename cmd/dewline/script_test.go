package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// runAsDewline makes the test binary behave as the program: tests that need a process of its own (signals, kills, locks)
// start themselves with it.
const runAsDewline = "DEWLINE_TEST_RUN_AS_PROGRAM"

// renewSoon is how soon such a daemon computes open verifications anew: tests do not wait five minutes.
const renewSoon = "DEWLINE_TEST_RENEW_AFTER"

func TestMain(m *testing.M) {
	if os.Getenv(runAsDewline) != "" {
		if wait, err := time.ParseDuration(os.Getenv(renewSoon)); err == nil {
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
			p := &program{stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, renewFirst: wait}
			code := p.main(ctx, os.Args[1:])
			stop()
			os.Exit(code)
		}
		main()
	}
	testscript.Main(m, map[string]func(){"dewline": main})
}

func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts in testdata/script: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// exits CODE runs a program and checks its exit code: `exits 2 dewline check`.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if err != nil {
		code = exitCode(err)
	}
	if code != args[0] {
		ts.Fatalf("%v exits with %s, want %s", args[1:], code, args[0])
	}
}
