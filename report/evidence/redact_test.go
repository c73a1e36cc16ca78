package evidence

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestNamesAndAddressesAreReplaced(t *testing.T) {
	r := NewRedactor([]string{"A. Rahman, facilities", "ops"}, []string{"bmc-1.example.org"})
	r.Keep("2.70.70.70")
	for _, s := range []string{
		"Successfully logged in using root, from 10.1.2.3 and REDFISH.", "Login attempt alert for admin from 10.1.2.3 using IPMI.", "User: jdoe@corp logged in",
		"user monitor logged out", "The user is not known", "Account operator2 was changed by user boss",
	} {
		r.Learn(s)
	}
	for _, c := range []struct{ what, in, want string }{
		{"an account", "logged in using root, from 10.1.2.3", "logged in using user-3, from address-2"},
		{"the same again", "root", "user-3"},
		{"an account inside a word stays", "rootfs chroot root-fs is a root.", "rootfs chroot root-fs is a user-3."},
		{"a name as it was given", "attested by A. Rahman, facilities", "attested by user-1"},
		{"a host by name", "https://BMC-1.example.org:8443/redfish", "https://address-1:8443/redfish"},
		{"IPv6", "from fe80::1%eth0 to 2001:db8::7", "from address-3 to address-4"},
		{"a MAC", "NIC 00:1A:2b:3c:4d:5e is up", "NIC address-5 is up"},
		{"an e-mail", "tell jdoe@corp", "tell user-5"},
		{"firmware that looks like an address", "2.70.70.70 and from 2.70.70.70 on", "2.70.70.70 and from 2.70.70.70 on"},
		{"times and sums", "2026-11-27T20:00:00+08:00 3f9c2a11d0", "2026-11-27T20:00:00+08:00 3f9c2a11d0"},
		{"loopback", "https://127.0.0.1:443", "https://127.0.0.1:443"},
		{"more numbers than an address has", "1.10.1.2.3", "1.10.1.2.3"},
	} {
		if got := r.Text(c.in); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	in := []byte(`{"root": "root", "n": 1.50, "list": ["10.1.2.3", "a\"10.1.2.3\\"], "t": "2026-11-27T20:00:00Z"}`)
	out := r.JSON(in)
	if want := `{"root": "user-3", "n": 1.50, "list": ["address-2", "a\"address-2\\"], "t": "2026-11-27T20:00:00Z"}`; string(out) != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
	if b := []byte{0x02, 0xff, 0x10}; !bytes.Equal(r.Bytes(b), b) {
		t.Error("bytes that are no text were changed")
	}
	x := struct {
		A    string
		Any  any
		Deep []struct{ B *string }
	}{A: "root", Any: "10.1.2.3"}
	b := "by root"
	x.Deep = append(x.Deep, struct{ B *string }{&b})
	r.In(&x)
	if x.A != "user-3" || x.Any != "address-2" || b != "by user-3" {
		t.Errorf("%+v %q", x, b)
	}
}

func FuzzRedactedJSONIsJSON(f *testing.F) {
	f.Add([]byte(`{"a":"10.1.2.3","b":["x\u0022",1e3,"root"]}`))
	f.Add([]byte(`"\`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewRedactor([]string{"root"}, nil)
		if out := r.JSON(b); json.Valid(b) && !json.Valid(out) {
			t.Errorf("%q became %q", b, out)
		}
	})
}
