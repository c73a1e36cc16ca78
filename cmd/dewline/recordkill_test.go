package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dewline/internal/bmcsim"
	"dewline/internal/capture"
)

// TestAKilledRecordGoesOn kills the process of a recording while it asks, over both protocols: the next one goes on, and ends
// in the recording of the machine.
func TestAKilledRecordGoesOn(t *testing.T) {
	t.Setenv("BMC", simPassword)
	for protocol, serve := range map[string]func(t *testing.T) (b bmcAt, asked func() int){
		"redfish": func(t *testing.T) (bmcAt, func() int) {
			b, s := simRedfish(t, spoiled(bmcsim.ProfileMixed, "m"), bmcsim.RedfishOptions{})
			return b, func() int { return s.Stats().Requests }
		},
		"ipmi": func(t *testing.T) (bmcAt, func() int) {
			b, s := simIPMI(t, spoiled(bmcsim.ProfileLegacy, "m"), bmcsim.IPMIOptions{ReadLimit: 32, MaxSessions: 8})
			return b, func() int { return s.Stats().Datagrams }
		},
	} {
		t.Run(protocol, func(t *testing.T) {
			b, asked := serve(t)
			live := onePoll(t, b.flags...)
			file := filepath.Join(t.TempDir(), "m.tar.gz")
			args := append([]string{"record", "--out", file, "--no-redact", "--rate", "100"}, b.flags...)
			cmd := exec.Command(os.Args[0], args...)
			cmd.Env = append(os.Environ(), runAsDewline+"=1")
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			before := asked()
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if cmd.ProcessState == nil {
					_ = cmd.Process.Kill()
					_ = cmd.Wait()
				}
			})
			eventually(t, "it has asked for something, and noted it", func() bool {
				st, err := os.Stat(capture.PartialName(file))
				return asked() > before+25 && err == nil && st.Size() > 2000
			})
			_ = cmd.Process.Kill()
			if err := cmd.Wait(); err == nil {
				t.Fatalf("it ended before it was killed:\n%s", &said)
			}
			if _, err := os.Stat(file); err == nil {
				t.Fatal("half a recording stands under the final name")
			}
			code, out, errs := dewline(t, append(args, "--rate", "1000")...)
			if code != exitOK || !strings.Contains(errs, "going on with") {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			if r, err := capture.Open(file); err != nil || r.Manifest.Resumed != 1 {
				t.Fatalf("%+v, %v", r, err)
			}
			sameReading(t, live, onePoll(t, "--replay", file))
		})
	}
}

func TestTheProgressOfARecording(t *testing.T) {
	var b bytes.Buffer
	quiet := newProgress(&b)
	quiet.stage("reads")
	quiet.end()
	if b.Len() > 0 {
		t.Errorf("to no terminal it wrote %q", &b)
	}
	p := &progress{w: &b, on: true}
	p.stage("Redfish")
	for range 3 {
		p.asked()
	}
	p.left(9)
	if got := b.String(); !strings.HasSuffix(got, "\r\x1b[K[######------------------] Redfish: 3 asked, 9 to go") {
		t.Errorf("%q", got)
	}
	p.end()
	if !strings.HasSuffix(b.String(), "\r\x1b[K") {
		t.Error("the bar is left on the terminal")
	}
}
