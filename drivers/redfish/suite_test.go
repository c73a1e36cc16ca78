package redfish_test

import (
	"os"
	"testing"

	"dewline/collector/collectortest"
	"dewline/drivers/redfish"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

// TestTheCollectorsSuiteOnSimulatedServers: every profile, and every habit of a service on some of them; DEWLINE_LONG=1
// takes each on each.
func TestTheCollectorsSuiteOnSimulatedServers(t *testing.T) {
	habits := []struct {
		name string
		o    bmcsim.RedfishOptions
	}{
		{"plain", bmcsim.RedfishOptions{MaxSessions: 16}},
		{"with $expand", bmcsim.RedfishOptions{MaxSessions: 16, Expand: true}},
		{"Basic alone", bmcsim.RedfishOptions{BasicOnly: true}},
	}
	for i, p := range bmcsim.Profiles() {
		for j, h := range habits {
			if i%len(habits) != j && os.Getenv("DEWLINE_LONG") == "" {
				continue
			}
			t.Run(p.Name+", "+h.name, func(t *testing.T) {
				srv, err := bmcsim.ServeRedfish(bmcsim.NewMachine(p, "m", 1), h.o)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = srv.Close() })
				collectortest.TestSource(t, func(t *testing.T) (collectortest.Source, func()) {
					t.Helper()
					c, err := redfish.Open("m", redfish.Options{
						Address: srv.URL(), Username: srv.Username(), Password: secret.New(srv.Password()), TLS: redfish.TLS{Fingerprint: srv.CertFingerprint()},
					})
					if err != nil {
						t.Fatal(err)
					}
					return c, nil
				})
				if st := srv.Stats(); st.Writes > 0 && !h.o.BasicOnly || st.InFlightMax > 2 || st.LoginFailures > 0 {
					t.Errorf("what the BMC saw: %+v", st)
				}
			})
		}
	}
}
