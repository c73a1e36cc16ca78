package capture

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var began = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// unpacked is everything in a file: names and contents.
func unpacked(t *testing.T, file string) (names []string, content string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		all.WriteString(h.Name + "\n")
		if _, err := io.Copy(&all, r); err != nil {
			t.Fatal(err)
		}
	}
}

func recordDocs(t *testing.T, keep bool, docs map[string]string) (string, *Manifest) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "r.tar.gz")
	j, err := Begin(file, "redfish https://10.20.30.40", began, "hunter2-Pass", "")
	if err != nil {
		t.Fatal(err)
	}
	j.AddLogin("/redfish/v1/SessionService/Sessions", 201, "tok3n-of-the-session")
	j.AddDocument(&Document{URL: "/redfish/v1/x?token=tok3n-of-the-session", Status: 302, Header: map[string]string{"Location": "https://svc:pushpw77@10.20.30.12/y"}})
	for url, body := range docs {
		j.AddDocument(&Document{URL: url, Status: 200, Header: map[string]string{"Content-Type": "application/json"}, Body: []byte(body)})
	}
	raw, err := os.ReadFile(PartialName(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"hunter2-Pass", "tok3n-of-the-session", base64.StdEncoding.EncodeToString([]byte("hunter2-Pass")), "pushpw77", "AdminSet99", "deepSecret1", "opensesame99"} {
		if bytes.Contains(raw, []byte(s)) {
			t.Errorf("the journal holds the secret %q", s)
		}
	}
	m, err := j.Finish(FinishOptions{Now: began, KeepIdentities: keep, Identities: []Identity{{Name, "jdoe"}, {Name, "10.20.30.40"}}})
	if err != nil {
		t.Fatal(err)
	}
	return file, m
}

// planted are documents with an identity or a secret in every odd place there is.
var planted = map[string]string{
	"/redfish/v1": `{"@odata.id":"/redfish/v1","UUID":"4C4C4544-0051-3510-8052-B4C04F4A4D32","Systems":{"@odata.id":"/redfish/v1/Systems"}}`,
	"/redfish/v1/Systems/7XK9Q32": `{"@odata.id":"/redfish/v1/Systems/7XK9Q32","SerialNumber":"7XK9Q32","HostName":"db1.corp.example.net","AssetTag":"ASSET-00417",
		"SKU":"7XK9Q32","Name":"System db1","BiosVersion":"2.10.30.11","ProcessorSummary":{"Count":2},
		"Oem":{"Dell":{"ExpressServiceCode":"17280263030","7XK9Q32":{"x":1},"NodeID":"7xk9q32"}},
		"PCIe":[{"Serial":84736251099},{"Serial":-1.5e7},{"SerialNumber":-15.123},{"WWN":"5000C500A1B2C3D4"}],
		"Location":{"PostalAddress":{"Street":"Jalan Merdeka 17","Building":"Annex B"},"Contacts":[{"ContactName":"Siti Rahayu","EmailAddress":"siti@corp.example.net"}],"Longitude":117.4783921}}`,
	"/redfish/v1/Managers/1/EthernetInterfaces/eth0": `{"MACAddress":"A0:B1:C2:D3:E4:F5","PermanentMACAddress":"a0b1c2d3e4f5","IPv4Addresses":[{"Address":"10.20.30.40","SubnetMask":"255.255.255.0","Gateway":"10.20.30.1"}],
		"IPv6Addresses":[{"Address":"fe80::a2b1:c2ff:fed3:e4f5"},{"Address":"2001:db8:77::42"}],"FQDN":"idrac-7xk9q32.corp.example.net","NameServers":["10.20.30.53"]}`,
	"/redfish/v1/Managers/1/LogServices/Sel/Entries": `{"Members":[
		{"Id":"1","Message":"User jdoe logged in from 10.20.30.99 using hunter2-Pass"},
		{"Id":"2","Message":"The drive with serial number S4YNNE0N801234 was removed from 7XK9Q32."},
		{"Id":"3","Message":"Successfully logged in using mwongso, from 2001:db8:77::99 and REDFISH.","MessageArgs":["mwongso","2001:db8:77::99"]},
		{"Id":"4","Message":"mail to ops-team@corp.example.net failed","Created":"2026-11-20T12:34:56+08:00"},
		{"Id":"5","Message":"link down on A0-B1-C2-D3-E4-F5 of host db1"},
		{"Id":"6","Message":"SNMP community: s3cr3t-ring set; password=opensesame99; Authorization: Bearer abcdefgh.ijkl"},
		{"Id":"7","Message":"pushed to https://svc:pushpw77@10.20.30.12/x"}],"Drive":"/redfish/v1/Drives/S4YNNE0N801234"}`,
	"/redfish/v1/Drives/S4YNNE0N801234": `{"SerialNumber":"S4YNNE0N801234","PartNumber":"MZ7LH960","Revision":"1.4.2.9","PasswordPolicy":{"Minimum":"AdminSet99"},"EncryptionKey":"9f8e7d6c5b4a"}`,
	"/redfish/v1/Odd": `{"Token":"zzTOKENzz","Nested":{"Passwords":[{"Value":"deepSecret1"},["deepSecret2"]]},"Note":"-----BEGIN RSA PRIVATE KEY-----\nMIIEsecretbody\n-----END RSA PRIVATE KEY-----",
		"j":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl","echo":"tok3n-of-the-session","b":"aHVudGVyMi1QYXNz","esc":"hunter2\u002dPass","half":"7XK9Q`,
	"/redfish/v1/NotJSON": "<html>host db1, 10.20.30.40, S4YNNE0N801234, token=hunter2-Pass</html>",
}

var identities = []string{
	"7xk9q32", "4c4c4544-0051-3510-8052-b4c04f4a4d32", "asset-00417", "17280263030", "84736251099", "5000c500a1b2c3d4", "merdeka", "annex", "rahayu", "siti",
	"corp.example.net", "117.4783921", "d3:e4:f5", "d3e4f5", "d3-e4-f5", "fed3:e4f5", "10.20.30.40", "10.20.30.1\"", "10.20.30.53", "10.20.30.99", "10.20.30.12",
	"2001:db8:77::42", "2001:db8:77::99", "jdoe", "mwongso", "s4ynne0n801234", "ops-team", "db1",
}

var plantedSecrets = []string{
	"hunter2-Pass", "tok3n-of-the-session", "s3cr3t-ring", "opensesame99", "abcdefgh.ijkl", "pushpw77", "AdminSet99", "9f8e7d6c5b4a", "zzTOKENzz", "deepSecret1", "deepSecret2",
	"MIIEsecretbody", "eyJhbGci", "aHVudGVyMi1QYXNz",
}

func TestNoPlantedIdentityOrSecretIsInARecording(t *testing.T) {
	file, m := recordDocs(t, false, planted)
	_, content := unpacked(t, file)
	low := regexp.MustCompile(`"sha256": "[0-9a-f]*"`).ReplaceAllString(strings.ToLower(content), "")
	for _, s := range identities {
		// As a word: three letters come up in a checksum by chance.
		if m := regexp.MustCompile(`(^|[^a-z0-9])` + regexp.QuoteMeta(s)).FindStringIndex(low); m != nil || len(s) > 6 && strings.Contains(low, s) {
			at := strings.Index(low, s)
			t.Errorf("%q is in the recording: …%s…", s, low[max(0, at-60):min(len(low), at+60)])
		}
	}
	for _, s := range plantedSecrets {
		if strings.Contains(content, s) {
			t.Errorf("the secret %q is in the recording", s)
		}
	}
	for _, s := range []string{"2.10.30.11", "1.4.2.9", "MZ7LH960", "255.255.255.0", "2026-11-20T12:34:56+08:00", "was removed from", "A0:B1:C2:"} {
		if !strings.Contains(content, s) {
			t.Errorf("%q is no identity, and is gone", s)
		}
	}
	if m.Redaction.Replaced < 15 || m.Redaction.Masked < 8 || !m.Redaction.Identities {
		t.Errorf("redaction %+v", m.Redaction)
	}
}

func TestSecretsAreBlankedWithoutRedactionToo(t *testing.T) {
	file, m := recordDocs(t, true, planted)
	_, content := unpacked(t, file)
	for _, s := range plantedSecrets {
		if strings.Contains(content, s) {
			t.Errorf("the secret %q is in the recording", s)
		}
	}
	for _, s := range []string{"7XK9Q32", "S4YNNE0N801234", "A0:B1:C2:D3:E4:F5", "jdoe", "Siti Rahayu", "10.20.30.40"} {
		if !strings.Contains(content, s) {
			t.Errorf("%q was to be kept", s)
		}
	}
	if m.Redaction.Identities {
		t.Error("the manifest says that identities were replaced")
	}
}

func TestTheSameIdentityHasOneReplacementOfTheSameForm(t *testing.T) {
	file, _ := recordDocs(t, false, planted)
	r, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	body := func(part string) map[string]any {
		for _, d := range r.Documents {
			var v map[string]any
			if json.Unmarshal(d.Body, &v) == nil && v[part] != nil {
				return v
			}
		}
		t.Fatalf("no document with %s", part)
		return nil
	}
	system := body("BiosVersion")
	serial := system["SerialNumber"].(string)
	if len(serial) != 7 || serial != system["SKU"] || system["@odata.id"] != "/redfish/v1/Systems/"+serial {
		t.Errorf("serial %q, SKU %v, link %v", serial, system["SKU"], system["@odata.id"])
	}
	for i, c := range serial {
		was := "7XK9Q32"[i]
		if isDigit(was) != isDigit(byte(c)) {
			t.Errorf("%q is not of the form of the original", serial)
		}
	}
	eth := body("MACAddress")
	mac, flat := eth["MACAddress"].(string), eth["PermanentMACAddress"].(string)
	if strings.ToLower(strings.ReplaceAll(mac, ":", "")) != flat || !strings.HasPrefix(mac, "A0:B1:C2:") {
		t.Errorf("two forms of one MAC address: %s and %s", mac, flat)
	}
	if fqdn := eth["FQDN"].(string); !strings.HasSuffix(strings.SplitN(fqdn, ".", 2)[0], strings.ToLower(serial)) {
		t.Errorf("the serial number in the host name %s is not %s", fqdn, serial)
	}
	log, err := json.Marshal(body("Members"))
	if err != nil || !strings.Contains(string(log), strings.ReplaceAll(mac, ":", "-")) || !strings.Contains(string(log), serial) {
		t.Errorf("the log names others: %s", log)
	}
	drive := body("PartNumber")["SerialNumber"].(string)
	found := false
	for _, d := range r.Documents {
		found = found || d.URL == "/redfish/v1/Drives/"+drive
	}
	if !found {
		t.Errorf("no document at the drive's new address")
	}
}

func TestWhatIsRecordedTwiceIsRedactedDifferently(t *testing.T) {
	one, _ := recordDocs(t, false, planted)
	two, _ := recordDocs(t, false, planted)
	_, a := unpacked(t, one)
	_, b := unpacked(t, two)
	if a == b {
		t.Error("two recordings have the same replacements: they could be looked up")
	}
}

// What is no journal of ours is neither taken up, nor overwritten, nor said to be of another BMC.
func TestAPartialFileThatIsNoRecordingIsLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want error
	}{
		"a line of something else":      {"hello\nworld\n", ErrNoJournal},
		"no whole line":                 {"hello", ErrNoJournal},
		"bytes":                         {"\x00\xff\x1f", ErrNoJournal},
		"JSON of something else":        {`{"a":1}` + "\n", ErrNoJournal},
		"another format":                {`{"dewline_journal":99,"source":"redfish a","key":"` + strings.Repeat("A", 43) + `="}` + "\n", ErrNoJournal},
		"another BMC":                   {`{"dewline_journal":1,"source":"redfish b","key":"` + strings.Repeat("A", 43) + `="}` + "\n", ErrOther},
		"nothing":                       {"", nil},
		"interrupted at its first line": {`{"dewline_jou`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "r.tar.gz")
			if err := os.WriteFile(PartialName(file), []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}
			j, err := Begin(file, "redfish a", began)
			if !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if j != nil {
				if err := j.Close(); err != nil {
					t.Fatal(err)
				}
				return
			}
			if b, err := os.ReadFile(PartialName(file)); err != nil || string(b) != c.data {
				t.Errorf("it is now %q, %v", b, err)
			}
		})
	}
}

func TestAnInterruptedRecordingGoesOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.tar.gz")
	begin := func(source string) (*Journal, error) { return Begin(file, source, began.Add(time.Hour), "pw-of-mine") }
	j, err := begin("redfish a")
	if err != nil {
		t.Fatal(err)
	}
	add := func(url string, status int) {
		j.AddDocument(&Document{URL: url, Status: status, Body: []byte(`{"SerialNumber":"ABC12345"}`)})
	}
	add("/redfish/v1", http.StatusOK)
	add("/redfish/v1/Busy", http.StatusServiceUnavailable)
	add("/redfish/v1/Gone", http.StatusNotFound)
	if j.Document("/redfish/v1/Busy") == nil {
		t.Error("a refusal of this run is asked again in it")
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(PartialName(file), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"document":{"url":"/redfish/v1/Half","sta`) // cut off while writing
	_ = f.Close()

	if _, err := begin("redfish b"); !errors.Is(err, ErrOther) {
		t.Fatalf("another BMC's recording was taken up: %v", err)
	}
	if j, err = begin("redfish a"); err != nil {
		t.Fatal(err)
	}
	if j.Document("/redfish/v1") == nil || j.Document("/redfish/v1/Gone") == nil || j.Document("/redfish/v1/Busy") != nil || j.Document("/redfish/v1/Half") != nil {
		t.Error("not what was answered before is what is asked no more")
	}
	if st, err := os.Stat(PartialName(file)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("journal %v, %v", st.Mode(), err)
	}
	add("/redfish/v1/Busy", http.StatusOK)
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is there before it is finished")
	}
	m, err := j.Finish(FinishOptions{Now: began})
	if err != nil || m.Resumed != 1 || m.Counts.Documents != 3 {
		t.Fatalf("%+v, %v", m, err)
	}
	r, err := Open(file)
	if err != nil || len(r.Documents) != 3 || string(r.Documents[0].Body) != string(r.Documents[1].Body) {
		t.Errorf("%v, %v", r, err)
	}
}
