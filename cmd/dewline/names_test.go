package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"dewline/internal/bmcsim"
	"dewline/store/influx/influxtest"
)

// TestAnyNameAnyNumberOverIPv6: targets and parts with names in every script, some of them hostile, and numbers that are none, through both drivers
// over IPv6, as configured: they reach the store, a real InfluxDB, JSON and tables as what they are; what is no number is no reading, with its reason.
func TestAnyNameAnyNumberOverIPv6(t *testing.T) {
	t.Parallel()
	server := influxtest.Start(t)
	server.Query("", "CREATE DATABASE hw")
	overHTTPS, err := bmcsim.ServeRedfish(bmcsim.NewMachine(bmcsim.ProfileLegacy, "a", 1), bmcsim.RedfishOptions{Addr: "[::1]:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = overHTTPS.Close() })
	overUDP, err := bmcsim.ServeIPMI(bmcsim.NewMachine(bmcsim.ProfileWhitebox, "b", 1), bmcsim.IPMIOptions{Addr: "[::1]:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = overUDP.Close() })
	if !strings.Contains(overHTTPS.URL(), "[::1]") || !strings.Contains(overUDP.URL(), "[::1]") {
		t.Fatal(overHTTPS.URL(), overUDP.URL())
	}

	names := []string{
		"حرارة المدخل", "进风温度", "Te\u0301mpe\u0301rature d'entre\u0301e", "อุณหภูมิ", "🌡️ inlet", "abc\u202egnp.exe", "esc\u001b[2Jape", "tab\tnew\nline", "quote\"d, comma=equal",
		`back\slash\`, strings.Repeat("长", 3000), "zero\u0000byte", "\u2066isolate\u2028",
	}
	numbers := []string{`"NaN"`, "1.8e308", "-1.8e308", `"Infinity"`, `"-inf"`, "1e301", `"N/A"`, "{}", "[21]", "true", `"0x15"`}
	var members []string
	add := func(name, value string) {
		b, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, fmt.Sprintf(`{"MemberId":"%d","Name":%s,"ReadingCelsius":%s,"Status":{"State":"Enabled","Health":"OK"}}`, len(members), b, value))
	}
	for i, n := range names {
		add(n, fmt.Sprint(20+i))
	}
	for i, n := range numbers {
		add(fmt.Sprintf("odd %d", i), n)
	}
	const arabic, chinese = "خادم-١", `服务器 "一", 机架=2`
	dir := t.TempDir()
	config := filepath.Join(dir, "dewline.toml")
	text := fmt.Sprintf("data_dir = \"data\"\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nspread = \"1s\"\n[influxdb]\nurl = %q\nbucket = \"hw/autogen\"\n[[credential]]\nname = \"c\"\nusername = %q\npassword = \"env:BMC\"\n",
		server.URL, overHTTPS.Username())
	text += fmt.Sprintf("[[target]]\nname = %q\naddress = %q\ncredential = \"c\"\nrack = \"机架 ١\"\ntls = { fingerprint = %q }\n", arabic, overHTTPS.URL(), overHTTPS.CertFingerprint())
	text += fmt.Sprintf("[[target]]\nname = %q\naddress = %q\ncredential = \"c\"\n", chinese, overUDP.URL())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := "BMC=" + simPassword
	poll := func() (docs []pollDoc) {
		t.Helper()
		out, errs, code := commandIn(t, []string{env}, "poll", "-c", config, "-o", "json")
		if code != exitOK {
			t.Fatalf("exit %d: %s", code, errs)
		}
		if s := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }); s >= 0 {
			t.Errorf("a control character in JSON: %q", out[s:min(len(out), s+20)])
		}
		return decodeDocs(t, out)
	}
	if docs := poll(); len(docs) != 2 || docs[0].Driver != "redfish" || docs[1].Driver != "ipmi" {
		t.Fatalf("%+v", docs)
	}
	thermal := ""
	for path := range overHTTPS.Stats().ByPath {
		if strings.HasSuffix(path, "/Thermal") {
			thermal = path
		}
	}
	if thermal == "" {
		t.Fatal("no Thermal was asked for")
	}
	overHTTPS.SetBody(thermal, fmt.Appendf(nil, `{"@odata.id":%q,"Temperatures":[%s]}`, thermal, strings.Join(members, ",")))

	doc := poll()[0]
	want := map[string]float64{} // by component
	values := map[string]float64{}
	for _, r := range doc.Readings {
		if r.Quantity == "temperature" {
			values[string(r.Component)] = r.Value
		}
	}
	read, odd := 0, 0
	for _, c := range doc.Components {
		if c.Class != "temperature" {
			continue
		}
		v, ok := values[string(c.ID)]
		if strings.HasPrefix(c.Name, "odd ") {
			odd++
			if ok {
				t.Errorf("%s reads %v", c.Name, v)
			}
			if !slices.ContainsFunc(doc.Gaps, func(g pollGap) bool {
				return strings.HasSuffix(g.Part, " of "+c.Name) && g.Reason == "malformed" && g.Error != ""
			}) {
				t.Errorf("%s: no reason why it has no value: %+v", c.Name, doc.Gaps)
			}
			continue
		}
		if ok {
			read++
			want[string(c.ID)] = v
		}
		if strings.ContainsFunc(c.Name, unicode.IsControl) || strings.ContainsAny(c.Name, "\u202e\u2066\u2028") {
			t.Errorf("name %q", c.Name)
		}
	}
	if read != len(names) || odd != len(numbers) {
		t.Errorf("%d parts of %d are read, %d of %d odd ones are there: %+v", read, len(names), odd, len(numbers), doc.Components)
	}
	for _, n := range names[:4] { // what is no harm stays as it is
		if !slices.ContainsFunc(doc.Components, func(c pollComponent) bool { return c.Name == n }) {
			t.Errorf("no part is named %q", n)
		}
	}

	d := startDaemon(t, config, env)
	eventually(t, "InfluxDB has each of them", func() bool {
		series, err := server.TryQuery("hw", "SELECT last(temperature_celsius) FROM hw_temperature WHERE target = '"+arabic+"' GROUP BY component")
		if err != nil {
			return false
		}
		got := map[string]string{}
		for _, x := range series {
			got[x.Tags["component"]] = fmt.Sprint(x.Values[0][1])
		}
		for id, v := range want {
			if cut, ends := strings.CutSuffix(id, `\`); ends { // line protocol cannot hold that (docs/SCHEMA.md)
				id = cut + "_"
			}
			if got[id] != fmt.Sprint(v) {
				return false
			}
		}
		return true
	})
	eventually(t, "the other is there too", func() bool {
		return influxCount(server, "SELECT count(temperature_celsius) FROM hw_temperature WHERE target = '"+chinese+"'") > 2
	})
	for _, args := range [][]string{{"status"}, {"faults"}, {"events"}, {"export", "--since", "1h"}, {"poll"}} {
		out, errs, code := commandIn(t, []string{env}, append(args, "-c", config)...)
		if code != exitOK || !strings.Contains(out, arabic) && args[0] != "faults" && args[0] != "events" {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
		if i := strings.IndexFunc(out+errs, func(r rune) bool {
			return r != '\n' && r != '\t' && unicode.IsControl(r) || r == '\u202e' || r == '\u2066' || r == '\u2028'
		}); i >= 0 {
			t.Errorf("%v: %q", args, (out + errs)[max(0, i-20):i+10])
		}
	}
	d.stop()
	if n := strings.Count(d.stderr.String(), "parts of the target are not read"); n != 1 {
		t.Errorf("what is not read is said %d times", n)
	}
	if n := strings.Count(d.stderr.String(), "level=ERROR") + strings.Count(d.stderr.String(), "quarantine"); n > 0 {
		t.Errorf("said of it:\n%s", d.stderr)
	}
	if strings.ContainsAny(d.stderr.String(), "\u202e\u001b\u0000") {
		t.Error("a control character in the log")
	}
}
