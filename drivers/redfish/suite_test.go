package redfish_test

import (
	"testing"

	"dewline/collector/collectortest"
	"dewline/drivers/redfish"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

func TestTheCollectorsSuiteOnSimulatedServers(t *testing.T) {
	for _, p := range bmcsim.Profiles() {
		for name, o := range map[string]bmcsim.RedfishOptions{"plain": {MaxSessions: 16}, "with $expand": {MaxSessions: 16, Expand: true}, "Basic alone": {BasicOnly: true}} {
			t.Run(p.Name+", "+name, func(t *testing.T) {
				srv, err := bmcsim.ServeRedfish(bmcsim.NewMachine(p, "m", 1), o)
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
				if st := srv.Stats(); st.Writes > 0 && !o.BasicOnly || st.InFlightMax > 2 || st.LoginFailures > 0 {
					t.Errorf("what the BMC saw: %+v", st)
				}
			})
		}
	}
}
