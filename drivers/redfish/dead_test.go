package redfish

import (
	"context"
	"fmt"
	"net"
	"testing"

	"dewline/health"
	"dewline/internal/bmcsim"
	"dewline/internal/secret"
)

// TestABMCThatDiedIsNotReadInPart: after a visit that read everything, every connection ends at once. No visit of any tiers may pass for one that
// read something, however much is remembered of the BMC: else nobody hears that it is silent.
func TestABMCThatDiedIsNotReadInPart(t *testing.T) {
	for name, p := range map[string]bmcsim.Profile{"legacy": bmcsim.ProfileLegacy, "modern": bmcsim.ProfileModern, "mixed": bmcsim.ProfileMixed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, err := bmcsim.ServeRedfish(bmcsim.NewMachine(p, "m", 1), bmcsim.RedfishOptions{Expand: name == "modern"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			proxy := newTCPProxy(t, srv.Addr())
			client, err := Open("m", Options{
				Address: proxy.address(), Username: srv.Username(), Password: secret.New(srv.Password()), TLS: TLS{Fingerprint: srv.CertFingerprint()},
			})
			if err != nil {
				t.Fatal(err)
			}
			first, err := client.Read(t.Context(), health.Request{Tiers: health.EveryTier})
			if err != nil || len(first.Components) == 0 {
				t.Fatalf("the first visit: %v, %d parts", err, len(first.Components))
			}
			for how, broken := range map[string]func(client, server net.Conn){
				"closed": func(client, _ net.Conn) { client.Close() }, "reset": func(client, _ net.Conn) { reset(client) },
			} {
				proxy.set(broken)
				proxy.drop()
				for tiers := health.Tiers(1); tiers <= health.EveryTier; tiers++ {
					what := fmt.Sprintf("%s, tiers %v", how, tiers.List())
					s, err := client.Read(t.Context(), health.Request{Tiers: tiers, Cursors: first.NextCursors, Memory: first.Memory})
					if err == nil || health.ReasonFor(err) != health.ReasonUnreachable {
						t.Errorf("%s: %v, parts %+v, host %s", what, err, s.Components, s.HostPower)
					}
					if s.Cost.Requests > 3 {
						t.Errorf("%s: %d requests to a dead BMC", what, s.Cost.Requests)
					}
				}
			}
			proxy.set(nil)
			if err := client.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
}
