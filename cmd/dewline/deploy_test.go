package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheUnit: the systemd unit is one that systemd takes without a word, and the drop-in for older ones too.
func TestTheUnit(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/dewline.service")
	if err != nil {
		t.Fatal(err)
	}
	drop, err := os.ReadFile("../../deploy/dewline.service.d/before-systemd-253.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Type=notify-reload", "WatchdogSec=", "DynamicUser=yes", "StateDirectory=dewline", "#LoadCredential=", "NoNewPrivileges=yes",
		"ProtectSystem=strict", fmt.Sprintf("RestartPreventExitStatus=%d", exitUsage),
	} {
		if !strings.Contains(string(unit), "\n"+want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed: the unit's text alone was looked at")
	}
	var version int
	out, err := exec.CommandContext(t.Context(), analyze, "--version").Output()
	if _, serr := fmt.Sscanf(string(out), "systemd %d", &version); err != nil || serr != nil {
		t.Fatalf("%v, %v: %s", err, serr, out)
	}
	self, err := filepath.Abs(os.Args[0]) // verify wants the program to be there
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"as it is":                    string(unit),
		"as it is before systemd 253": strings.Replace(string(unit), "Type=notify-reload\n", strings.SplitN(string(drop), "[Service]\n", 2)[1], 1),
	} {
		t.Run(name, func(t *testing.T) {
			if version < 253 && name == "as it is" {
				t.Skipf("systemd %d does not know Type=notify-reload", version)
			}
			path := filepath.Join(t.TempDir(), "dewline.service")
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/usr/bin/dewline", self)), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput()
			if err != nil || len(out) > 0 {
				t.Errorf("systemd-analyze verify: %v: %s", err, out)
			}
		})
	}
}
