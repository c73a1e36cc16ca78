package redfish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dewline/health"
)

func TestCertificates(t *testing.T) {
	srv := newService(t, ownTree(t, "classic"))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(srv.Certificate().Raw)
	plain := hex.EncodeToString(sum[:])
	var colons []string
	for _, b := range sum {
		colons = append(colons, fmt.Sprintf("%02X", b))
	}
	for _, c := range []struct {
		name string
		tls  TLS
		ok   bool
	}{
		{"unknown to the system's roots", TLS{}, false},
		{"its CA file", TLS{CAFile: ca}, true},
		{"a missing CA file", TLS{CAFile: ca + "x"}, false},
		{"its fingerprint", TLS{Fingerprint: plain}, true},
		{"its fingerprint with colons", TLS{Fingerprint: strings.Join(colons, ":")}, true},
		{"another fingerprint", TLS{Fingerprint: strings.Repeat("00", 32)}, false},
		{"another fingerprint wins over insecure", TLS{Fingerprint: strings.Repeat("00", 32), Insecure: true}, false},
		{"not verified", TLS{Insecure: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv.reset()
			cl := srv.open(t, func(o *Options) { o.TLS = c.tls })
			_, err := cl.Read(t.Context(), health.Request{Tiers: health.TiersOf(health.TierReadings)})
			if c.ok && err != nil || !c.ok && health.ReasonFor(err) != health.ReasonTLS {
				t.Errorf("%v", err)
			}
			if !c.ok && srv.Certificate() != nil && !strings.HasPrefix(c.name, "a missing") && !strings.Contains(err.Error(), plain) {
				t.Errorf("an operator cannot pin what the error does not show: %v", err)
			}
			if reqs, _ := srv.counts(); !c.ok && len(reqs) > 0 {
				t.Errorf("requests went to an unverified BMC: %v", reqs)
			}
		})
	}
	if _, err := Open("t", Options{Address: srv.URL, TLS: TLS{Fingerprint: "abc"}}); err == nil {
		t.Error("half a fingerprint is refused")
	}
}

func TestPlainHTTPServerIsATLSError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	c, err := Open("t", Options{Address: "https://" + l.Addr().String(), TLS: TLS{Insecure: true}})
	if err != nil {
		t.Fatal(err)
	}
	if e := failing(t, c); e.Reason != health.ReasonTLS {
		t.Errorf("%v", e)
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		address string
		ok      bool
	}{
		{"https://10.0.0.7", true}, {"https://bmc.example:8443", true}, {"https://[fd00::7]", true}, {"https://[fd00::7]:443/", true},
		{"http://127.0.0.1:8000", true}, {"http://[::1]:8000", true}, {"http://localhost:1", true},
		{"http://10.0.0.7", false}, {"10.0.0.7", false}, {"ftp://10.0.0.7", false}, {"https://", false}, {"https://u:p@10.0.0.7", false},
		{"https://10.0.0.7/redfish", false}, {"https://10.0.0.7?x=1", false}, {"", false},
	} {
		if _, err := Open("t", Options{Address: c.address}); (err == nil) != c.ok {
			t.Errorf("%q: %v", c.address, err)
		}
	}
	if _, err := Open("t", Options{Address: "https://10.0.0.7", Auth: "token"}); err == nil {
		t.Error("an unknown auth is refused")
	}
}
