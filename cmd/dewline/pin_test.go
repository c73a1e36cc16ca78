package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPinOfCertificates(t *testing.T) {
	s := newSite(t)
	b, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	pinned := string(b) // the site's own; without the pin it is what an operator begins with
	line := `tls = { fingerprint = "` + s.redfish.CertFingerprint() + `" }`
	bare := "# keep me\n" + strings.Replace(pinned, line+"\n", "", 1)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(s.config, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	text := func() string {
		t.Helper()
		b, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write(bare)
	code, out, errs := s.run(t, "check", "--connect", "-c", s.config)
	if code != exitTargets || !strings.Contains(out, line) || !strings.Contains(out, "subject") || !strings.Contains(out, "issuer") || !strings.Contains(out, s.config+":21") || text() != bare {
		t.Fatalf("shown: exit %d\n%s\n%s\n%s", code, out, errs, text())
	}
	code, out, _ = s.run(t, "check", "--connect", "-o", "json", "-c", s.config)
	var doc connectDoc
	if err := json.Unmarshal([]byte(strings.Split(out, "\n")[1]), &doc); code != exitTargets || err != nil || doc.Certificate == nil ||
		doc.Certificate.Fingerprint != s.redfish.CertFingerprint() || doc.Certificate.Pinned || doc.Certificate.Line != line {
		t.Fatalf("json: exit %d, %v\n%s", code, err, out)
	}
	if code, _, errs := s.run(t, "check", "--pin", "-c", s.config); code != exitUsage || !strings.Contains(errs, "--yes") {
		t.Errorf("--pin without a terminal: exit %d %s", code, errs)
	}
	if code, out, errs := s.run(t, "check", "--pin", "--yes", "-c", s.config); code != exitTargets || !strings.Contains(out, "pinned: "+s.config+":22") {
		t.Fatalf("pin: exit %d\n%s\n%s", code, out, errs)
	}
	if st := s.redfish.Stats(); st.Requests != 0 {
		t.Errorf("%d requests over connections that were not verified", st.Requests)
	}
	after := text()
	if strings.Replace(after, line+"\n", "", 1) != bare || strings.Count(after, line) != 1 {
		t.Errorf("the file is now\n%s", after)
	}
	if code, out, _ := s.run(t, "check", "--connect", "-c", s.config); code != exitOK {
		t.Errorf("pinned: exit %d\n%s", code, out)
	}
	if n := s.redfish.Stats().OpenSessions; n != 0 {
		t.Errorf("check leaves %d sessions", n)
	}
	// Another certificate than the pinned one is said loudly, and the pin stays.
	changed := strings.Replace(after, s.redfish.CertFingerprint(), strings.Repeat("ab", 32), 1)
	write(changed)
	requests := s.redfish.Stats().Requests
	code, out, _ = s.run(t, "check", "--pin", "--yes", "-c", s.config)
	if code != exitTargets || !strings.Contains(out, "THE CERTIFICATE IS NOT THE PINNED ONE") || text() != changed || s.redfish.Stats().Requests != requests {
		t.Errorf("changed: exit %d\n%s", code, out)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(s.config), ".dewline-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if info, err := os.Stat(s.config); err != nil || info.Mode().Perm() != 0o600 && info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}
