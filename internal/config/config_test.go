package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"dewline/health"
	"dewline/internal/secret"
)

const oneCredential = "[[credential]]\nname = \"bmc\"\nusername = \"monitor\"\npassword = \"file:bmc.pass\"\n"

func mustParse(t *testing.T, file, text string) *Config {
	t.Helper()
	cfg, err := Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestEveryValueArrives(t *testing.T) {
	dir := t.TempDir()
	text := `
data_dir = "data"
[schedule]
readings = "*/30 * * * * *"
timezone = "Asia/Jakarta"
spread = "10m"
[collector]
slots = 0x40
deadlines = { health = "7m" }
[log]
level = "debug"
format = "json"
` + oneCredential + `
[[target]]
name = "ruang server 机房"
address = "https://BMC-7.example.org:8443/"
credential = "bmc"
site = "bontang"
rack = "A1"
position = 7
labels = { owner = "diskominfo" }
expect = { fans = 0 }
tls.fingerprint = "SHA256:` + strings.Repeat("AB:", 31) + `AB"
[target.schedule]
events = "@every 5m"
inventory = "30 4 * * *"
[target.redfish]
auth = "basic"
[[target]]
name = "ipmi"
address = "ipmi://[fd00::7]"
credential = "bmc"
ipmi = { privilege = "operator", cipher_suites = [3] }
[influxdb]
url = "https://influx.example.org:8086/"
organization = "lab"
bucket = "hardware"
token = "env:T"
timeout = "3s"
tls.insecure = true
`
	cfg := mustParse(t, filepath.Join(dir, "dewline.toml"), text)
	a, b := cfg.Targets[0], cfg.Targets[1]
	checks := map[string][2]any{
		"data_dir belongs to the file's folder": {cfg.DataDir, filepath.Join(dir, "data")},
		"spec in the zone":                      {cfg.Schedule.Tiers[health.TierReadings].String(), "CRON_TZ=Asia/Jakarta */30 * * * * *"},
		"default spec in the zone":              {cfg.Schedule.Tiers[health.TierInventory].String(), "CRON_TZ=Asia/Jakarta 0 3 * * *"},
		"@every has no zone":                    {cfg.Schedule.Tiers[health.TierHealth].String(), "@every 15m0s"},
		"spread":                                {cfg.Schedule.Spread, 10 * time.Minute},
		"timezone":                              {cfg.Schedule.Timezone.String(), "Asia/Jakarta"},
		"slots in hex":                          {cfg.Collector.Slots, 64},
		"deadline given":                        {cfg.Collector.Deadlines[health.TierHealth], 7 * time.Minute},
		"deadline by default":                   {cfg.Collector.Deadlines[health.TierReadings], 30 * time.Second},
		"log level":                             {cfg.Log.Level.String(), "DEBUG"},
		"log format":                            {cfg.Log.Format, "json"},
		"name in any script":                    {a.ID, health.TargetID("ruang server 机房")},
		"address without its slash":             {a.Address, "https://BMC-7.example.org:8443"},
		"driver by the scheme":                  {a.Driver, health.DriverRedfish},
		"site":                                  {a.Site, "bontang"},
		"rack":                                  {a.Rack, "A1"},
		"position":                              {a.Position, 7},
		"label":                                 {a.Labels["owner"], "diskominfo"},
		"no fans expected":                      {*a.Expect.Fans, 0},
		"drives not said":                       {a.Expect.Drives == nil && a.Expect.PSUs == nil, true},
		"fingerprint as plain hex":              {a.TLS.Fingerprint, strings.Repeat("ab", 32)},
		"own spec of a target":                  {a.Schedule[health.TierEvents].String(), "@every 5m0s"},
		"own spec in the zone":                  {a.Schedule[health.TierInventory].String(), "CRON_TZ=Asia/Jakarta 30 4 * * *"},
		"common spec of a target":               {a.Schedule[health.TierReadings].String(), "CRON_TZ=Asia/Jakarta */30 * * * * *"},
		"the next target keeps the common spec": {b.Schedule[health.TierEvents].String(), "@every 1m0s"},
		"auth":                                  {a.Auth, "basic"},
		"auth by default":                       {b.Auth, "auto"},
		"IPMI by the scheme":                    {b.Driver, health.DriverIPMI},
		"IPv6 address":                          {b.Address, "ipmi://[fd00::7]"},
		"privilege":                             {b.Privilege, "operator"},
		"one suite":                             {len(b.CipherSuites) == 1 && b.CipherSuites[0] == 3, true},
		"suites by default":                     {len(a.CipherSuites) == 2 && a.CipherSuites[0] == 17, true},
		"credential":                            {a.Credential.Username, "monitor"},
		"influxdb url without its slash":        {cfg.InfluxDB.URL, "https://influx.example.org:8086"},
		"influxdb organization":                 {cfg.InfluxDB.Organization, "lab"},
		"influxdb bucket":                       {cfg.InfluxDB.Bucket, "hardware"},
		"influxdb token":                        {cfg.InfluxDB.Token.String(), "env:T"},
		"influxdb timeout":                      {cfg.InfluxDB.Timeout, 3 * time.Second},
		"influxdb insecure":                     {cfg.InfluxDB.TLS.Insecure, true},
	}
	for name, c := range checks {
		if c[0] != c[1] {
			t.Errorf("%s: got %v, want %v", name, c[0], c[1])
		}
	}
}

func TestParseAddressAccepts(t *testing.T) {
	for text, want := range map[string]struct{ driver, text, same string }{
		"10.0.0.7":                  {"auto", "10.0.0.7", "10.0.0.7"},
		"bmc-7":                     {"auto", "bmc-7", "bmc-7"},
		"BMC_7.example.org.":        {"auto", "BMC_7.example.org.", "bmc_7.example.org."},
		"fd00::7":                   {"auto", "fd00::7", "fd00::7"},
		"fe80::7%eth0":              {"auto", "fe80::7%eth0", "fe80::7%eth0"},
		"[fd00::7]:8443":            {"auto", "[fd00::7]:8443", "fd00::7 auto 8443"},
		"HTTPS://10.0.0.7":          {"redfish", "https://10.0.0.7", "10.0.0.7"},
		"https://10.0.0.7:443":      {"redfish", "https://10.0.0.7:443", "10.0.0.7"},
		"https://[fd00::7]/":        {"redfish", "https://[fd00::7]", "fd00::7"},
		"ipmi://10.0.0.7:623":       {"ipmi", "ipmi://10.0.0.7:623", "10.0.0.7"},
		"ipmi://127.0.0.1:9001":     {"ipmi", "ipmi://127.0.0.1:9001", "127.0.0.1 ipmi 9001"},
		"https://xn--4gbrim.org:84": {"redfish", "https://xn--4gbrim.org:84", "xn--4gbrim.org redfish 84"},
	} {
		a, message, hint := parseAddress(text)
		if message != "" {
			t.Errorf("%q: %s (%s)", text, message, hint)
			continue
		}
		if a.driver != want.driver || a.text != want.text || a.same() != want.same {
			t.Errorf("%q: got %q %q %q", text, a.driver, a.text, a.same())
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	for _, text := range []string{
		"", "https://", "://x", "ftp://x", "https:/x", "x:0", "x:65536", "x:+443", "x:", "[fd00::7", "[10.0.0.7]:443", "[fd00::7]x",
		"fd00::7:zz", "10.0.0.256", "10.0.7", "7", "0.0.0.0", "224.0.0.1", "-x", "x-", "a..b", "a b", "a\x00b", "a,b", "x?y", "x#y", "x/y",
		"user@x", "https://user:hunter2@x", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a", "größe",
	} {
		if a, message, _ := parseAddress(text); message == "" {
			t.Errorf("%q was taken as %+v", text, a)
		} else if strings.Contains(message, "hunter2") {
			t.Errorf("%q: the message holds the password", text)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	here, there := filepath.Join(dir, "here.toml"), filepath.Join(dir, "there.toml")
	if _, err := find("", []string{here, there}); err == nil || !strings.Contains(err.Error(), here) || !strings.Contains(err.Error(), "-c FILE") {
		t.Errorf("with no file: %v", err)
	}
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := find("", []string{here, there}); got != there || err != nil {
		t.Errorf("with the second file: %q %v", got, err)
	}
	if err := os.WriteFile(here, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := find("", []string{here, there}); got != here || err != nil {
		t.Errorf("with both files: %q %v", got, err)
	}
	if got, err := Find("given.toml"); got != "given.toml" || err != nil {
		t.Errorf("with a flag: %q %v", got, err)
	}
	t.Chdir(dir)
	if err := os.WriteFile("dewline.toml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Find(""); got != "./dewline.toml" || err != nil {
		t.Errorf("in the working directory: %q %v", got, err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "absent.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("folder: %v", err)
	}
	path := filepath.Join(dir, "a.toml")
	if err := os.WriteFile(path, []byte("\xef\xbb\xbfdata_dir = \"x\"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path)
	if err != nil || cfg.DataDir != filepath.Join(dir, "x") {
		t.Errorf("a file with a byte order mark and DOS line ends: %v %v", cfg, err)
	}
	if err := os.WriteFile(path, []byte("x = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path)
	if faults, ok := errors.AsType[Faults](err); !ok || len(faults) != 1 || !strings.HasPrefix(err.Error(), path+":1:1: unknown key") {
		t.Errorf("faults: %v", err)
	}
}

func TestSecretFaultsHaveTheirPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "dewline.toml")
	text := oneCredential + "[[credential]]\nname = \"two\"\nusername = \"u\"\npassword = \"env:DEWLINE_TEST_NOT_SET\"\n"
	cfg := mustParse(t, file, text)
	faults := cfg.SecretFaults()
	if len(faults) != 2 || faults[0].Line != 4 || faults[1].Line != 8 || faults[0].Key != "credential[0].password" ||
		!strings.Contains(faults[1].Message, "DEWLINE_TEST_NOT_SET is not set") {
		t.Errorf("faults: %v", faults)
	}
	if err := os.WriteFile(filepath.Join(dir, "bmc.pass"), []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DEWLINE_TEST_NOT_SET", "x")
	if faults := cfg.SecretFaults(); len(faults) != 0 {
		t.Errorf("with both secrets there: %v", faults)
	}
	if err := os.Chmod(filepath.Join(dir, "bmc.pass"), 0o644); err != nil {
		t.Fatal(err)
	}
	if faults := cfg.SecretFaults(); len(faults) != 1 || !strings.Contains(faults[0].Message, "chmod 600 "+dir+"/bmc.pass") {
		t.Errorf("readable by others: %v", faults)
	}
}

func TestAdHoc(t *testing.T) {
	ref := func(s string) secret.Ref {
		r, err := secret.ParseRef(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	target := func(address, driver, user string) Target {
		return Target{Target: health.Target{ID: "x", Address: address, Driver: driver}, Credential: Credential{Username: user, Password: ref("env:X")}}
	}
	got, err := AdHoc(target("https://10.0.0.7/", "", "monitor"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Driver != health.DriverRedfish || got.Address != "https://10.0.0.7" || got.Auth != "auto" || got.Privilege != "user" ||
		len(got.Schedule) != len(health.AllTiers) || len(got.CipherSuites) != 2 || got.Credential.Username != "monitor" || got.ID != "x" {
		t.Errorf("got %+v", got)
	}
	if got, err := AdHoc(target("10.0.0.7", "", "monitor")); err != nil || got.Driver != health.DriverAuto {
		t.Errorf("without a scheme: %+v %v", got, err)
	}
	badTLS := target("https://x", "", "u")
	badTLS.TLS = TLS{Fingerprint: "zz", Insecure: true, CAFile: "/no/such/file"}
	for name, c := range map[string]struct {
		target Target
		want   []string
	}{
		"a driver that the scheme contradicts": {target("https://x", "ipmi", "u"), []string{"--driver: the scheme of the address means redfish"}},
		"an unknown driver":                    {target("x", "redfsh", "u"), []string{"--driver: `redfsh` is no driver (did you mean `redfish`?)"}},
		"a bad address":                        {target("http://x", "", "u"), []string{"--address: `address` is http"}},
		"a password in the address":            {target("https://u:hunter2@x", "", "u"), []string{"--address: `address` holds a user or a password"}},
		"a password without a user":            {target("x", "", ""), []string{"--username: a password needs a user name"}},
		"a user that IPMI cannot carry":        {target("ipmi://x", "", "monitoring-account"), []string{"--username: the user name has 18 bytes"}},
		"three ways of TLS": {badTLS, []string{
			"--ca-file: stat /no/such/file", "--fingerprint: `fingerprint` is no SHA-256", "--insecure: --ca-file, --fingerprint and --insecure exclude each other"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := AdHoc(c.target)
			faults, ok := errors.AsType[Faults](err)
			if !ok || got != nil || len(faults) != len(c.want) {
				t.Fatalf("got %v %v", got, err)
			}
			for i, want := range c.want {
				if !strings.HasPrefix(faults[i].Error(), want) {
					t.Errorf("got %q, want %q", faults[i].Error(), want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the message holds the password: %v", err)
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"address", "credential", "username", "db-1", "db-2"}
	for word, want := range map[string]string{
		"adress": "address", "addres": "address", "adderss": "address", "Address": "address", "user": "username", "user_name": "username",
		"db-3": "db-1", "xyz": "", "": "", "password": "", strings.Repeat("address", 1000): "address",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("%.20q: got %q, want %q", word, got, want)
		}
	}
}

// Whatever the text, Parse gives a configuration or faults with a place inside the file; and what it takes for sound is
// sound for go-toml too, with the same values.
func FuzzParse(f *testing.F) {
	seeds := 0
	for _, pattern := range []string{exampleFile, "testdata/bad/*.toml", "testdata/warn/*.toml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
			seeds++
		}
	}
	if seeds < 50 {
		f.Fatalf("only %d seeds", seeds)
	}
	for _, s := range []string{
		"\xef\xbb\xbfa", "a.b.c = 1\n[a.b]\n", "[[target]]\n[target.tls]\n[target.tls]\n", "target = [{name = \"a\"}, 5]\n[[target]]\n", "[a]\n[a.b]\n[[a]]\n",
		"log = {level.x = 1, level = 2}", "\"\" = 1", "[\"\"]\n", "x = [[[[{a = [{}]}]]]]", "data_dir = \"\"\"a\nb", "a = 1979-05-27T07:32:00Z",
		"[influxdb]\ntls.insecure = true\ntls.x = 1\n[influxdb.tls]\n", "\r", "[schedule]\r\nspread = \"1h\"\r\n", "x = \"\\ud800\"", "\xff", "#\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := Parse("f.toml", data)
		lines := bytes.Split(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), []byte("\n"))
		inside := func(fs []Fault) {
			t.Helper()
			for i, f := range fs {
				if f.Line < 1 || f.Line > len(lines) || f.Column < 1 || f.Column > len(lines[f.Line-1])+1 {
					t.Fatalf("%d:%d is outside the file: %s", f.Line, f.Column, f)
				}
				if f.Message == "" || f.File != "f.toml" {
					t.Fatalf("a fault without words: %+v", f)
				}
				if i > 0 && (fs[i-1].Line > f.Line || fs[i-1].Line == f.Line && fs[i-1].Column > f.Column) {
					t.Fatalf("faults are not in order: %v", fs)
				}
			}
		}
		if err != nil {
			faults, ok := errors.AsType[Faults](err)
			if !ok || len(faults) == 0 || cfg != nil {
				t.Fatalf("error %v, configuration %v", err, cfg)
			}
			inside(faults)
			return
		}
		inside(cfg.Warnings)
		sameAsGoTOML(t, bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	})
}

// sameAsGoTOML compares our decoding with that of go-toml.
func sameAsGoTOML(t *testing.T, data []byte) {
	t.Helper()
	var want rawFile
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(&want); err != nil {
		t.Fatalf("go-toml refuses it: %v", err)
	}
	src := newSource("f.toml", data)
	root, _, _ := parseTree(src)
	var got rawFile
	d := &decoder{src: src, places: map[string]place{}, meant: map[string]bool{}}
	d.table(root, reflect.ValueOf(&got).Elem(), "")
	empty(reflect.ValueOf(&got).Elem())
	empty(reflect.ValueOf(&want).Elem())
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("decoded\n%+v\ngo-toml\n%+v", got, want)
	}
}

// empty turns empty slices and maps into nil: an empty list and none are the same here.
func empty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			empty(field)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			empty(v.Index(i))
		}
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
		}
	}
}

func TestTheExampleDecodesAsGoTOMLDoes(t *testing.T) { sameAsGoTOML(t, []byte(uncommented(t))) }

func BenchmarkParse10000Targets(b *testing.B) {
	var text strings.Builder
	text.WriteString(oneCredential)
	for i := range 10000 {
		text.WriteString("[[target]]\nname = \"db-" + time.Duration(i).String() + "\"\naddress = \"https://10." +
			strings.Join([]string{strconv.Itoa(i >> 16), strconv.Itoa(i >> 8 & 255), strconv.Itoa(i & 255)}, ".") + "\"\ncredential = \"bmc\"\nsite = \"x\"\nrack = \"A1\"\nlabels = { owner = \"x\" }\n")
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		cfg, err := Parse("x.toml", data)
		if err != nil || len(cfg.Targets) != 10000 {
			b.Fatal(err)
		}
	}
}
