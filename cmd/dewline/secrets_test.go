package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dewline/internal/bmcsim"
	"dewline/store/sqlite"
	"dewline/store/storetest"
)

// secretForms are the ways in which a secret may stand in a text.
func secretForms(secret string) map[string]string {
	b := []byte(secret)
	quoted, _ := json.Marshal(secret)
	forms := map[string]string{
		"as it is": secret, "hex": hex.EncodeToString(b), "HEX": strings.ToUpper(hex.EncodeToString(b)),
		"query": url.QueryEscape(secret), "path": url.PathEscape(secret), "JSON": strings.Trim(string(quoted), `"`), "Go": strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"decimal bytes": strings.Trim(fmt.Sprint(b), "[]"),
	}
	for i, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		// Whatever stands before it, one of three alignments is the secret's; the outer characters mix with its neighbours.
		for before := range 3 {
			s := e.EncodeToString(append(make([]byte, before), b...))
			forms[fmt.Sprintf("base64 %d/%d", i, before)] = s[(before*8+5)/6 : len(s)-1]
		}
	}
	return forms
}

// leaksOf names the secrets that a text holds, and in which form.
func leaksOf(secrets map[string]string, text []byte) (found []string) {
	for name, s := range secrets {
		for form, f := range secretForms(s) {
			if bytes.Contains(text, []byte(f)) {
				found = append(found, name+", "+form)
			}
		}
	}
	slices.Sort(found)
	return found
}

func TestLeaksAreFound(t *testing.T) {
	secrets := map[string]string{"password": `p+s "s/w=rd 1é`}
	for _, text := range []string{
		secrets["password"], url.QueryEscape(secrets["password"]), fmt.Sprintf("%x", secrets["password"]), fmt.Sprintf("%q", secrets["password"]),
		base64.StdEncoding.EncodeToString([]byte("monitor:" + secrets["password"])), base64.URLEncoding.EncodeToString([]byte("a:" + secrets["password"])),
		base64.StdEncoding.EncodeToString([]byte("ab:" + secrets["password"] + "\n")),
	} {
		if leaksOf(secrets, []byte("before "+text+" after")) == nil {
			t.Errorf("not found in %q", text)
		}
	}
	if found := leaksOf(secrets, []byte("password of monitor: env:BMC")); found != nil {
		t.Errorf("found %v where there is none", found)
	}
}

// TestNoSecretLeavesTheProcess: a whole daemon, its log at debug with the wire on, with BMCs over a Redfish session, over HTTP Basic and
// over IPMI, whose answers throw back what they were sent, and an InfluxDB that does so. Every secret is looked for in every form in all that was
// logged, printed, stored, copied, exported and captured.
func TestNoSecretLeavesTheProcess(t *testing.T) {
	t.Parallel()
	secrets := map[string]string{
		"password over a session": `Sess/ion+pass "w0rd`, "password over Basic": "Basic=pass word7%", "password over IPMI": "ipmi#Pa55w0rd!", "token of InfluxDB": "influx-Token/92==",
	}
	var mu sync.Mutex
	note := func(name, secret string) {
		mu.Lock()
		defer mu.Unlock()
		if secret != "" {
			secrets[name] = secret
		}
	}
	var seen atomic.Int64
	// A BMC that throws back what it was sent, in its error.
	echo := func(w http.ResponseWriter, r *http.Request) {
		if token := r.Header.Get("X-Auth-Token"); token != "" {
			seen.Add(1)
			note("session token "+token[:4], token)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"error":{"code":"Base.1.0.GeneralError","message":"no: %s %s","@Message.ExtendedInfo":[{"Message":"refused %s %s"}]}}`,
			r.Header.Get("X-Auth-Token"), r.Header.Get("Authorization"), r.Header.Get("X-Auth-Token"), r.Header.Get("Authorization"))
	}
	machines, _ := bmcsim.DemoRoom(7)
	var b strings.Builder
	dir := t.TempDir()
	dataDir := filepath.Join(dir, "data")
	var env []string
	target := func(name, address, username, password, more string) {
		env = append(env, "SECRET_"+name+"="+password)
		fmt.Fprintf(&b, "[[credential]]\nname = %q\nusername = %q\npassword = \"env:SECRET_%s\"\n", name, username, name)
		fmt.Fprintf(&b, "[[target]]\nname = %q\naddress = %q\ncredential = %q\n%s\n", name, address, name, more)
	}
	for name, o := range map[string]bmcsim.RedfishOptions{
		"session": {Username: "monitor", Password: secrets["password over a session"]},
		"basic":   {Username: "monitor", Password: secrets["password over Basic"], BasicOnly: true},
	} {
		s, err := bmcsim.ServeRedfish(machines[0], o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		s.Hook("/redfish/v1/Chassis", echo) // its place is a gap, whose error is stored
		target(name, s.URL(), o.Username, o.Password, fmt.Sprintf("tls = { fingerprint = %q }", s.CertFingerprint()))
	}
	i, err := bmcsim.ServeIPMI(machines[4], bmcsim.IPMIOptions{Username: "monitor", Password: secrets["password over IPMI"], Privilege: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	target("ipmi", i.URL(), "monitor", secrets["password over IPMI"], "")
	target("denied", i.URL(), "nobody", secrets["password over IPMI"], "")

	lake := newLake(t)
	wrong := true
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now := wrong
		mu.Unlock()
		if now {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, `{"code":"unauthorized","message":"`+r.Header.Get("Authorization")+` is not known"}`, http.StatusUnauthorized)
			return
		}
		lake.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(gate.Close)
	env = append(env, "SECRET_TOKEN="+secrets["token of InfluxDB"])
	config := filepath.Join(dir, "dewline.toml")
	head := fmt.Sprintf("data_dir = %q\n[log]\nlevel = \"debug\"\n[schedule]\nreadings = \"@every 1s\"\nevents = \"@every 1s\"\nhealth = \"@every 2s\"\n[influxdb]\nurl = %q\nbucket = \"hw\"\ntoken = \"env:SECRET_TOKEN\"\n", dataDir, gate.URL)
	if err := os.WriteFile(config, []byte(head+b.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	texts := map[string][]byte{}
	command := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(os.Args[0], args...)
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), env...), runAsDewline+"=1")
		out, err := cmd.CombinedOutput()
		if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
			t.Fatal(err)
		}
		texts[name] = out
		return string(out)
	}
	d := startDaemon(t, config, env...)
	eventually(t, "visits of three BMCs, and InfluxDB's refusal", func() bool {
		return storeExists(t, dataDir) && lastSeq(t, dataDir) > 12 && strings.Contains(d.stderr.String(), "Unauthorized")
	})
	mu.Lock()
	wrong = false
	mu.Unlock()
	command("poll beside the daemon", "poll", "-c", config, "-o", "json", "session", "basic", "ipmi")
	command("status", "status", "-c", config, "-o", "json")
	command("check", "check", "-c", config, "--connect")
	command("reload", "reload", "-c", config, "-o", "json")
	command("a second daemon", "run", "-c", config)
	if err := os.WriteFile(filepath.Join(dir, "broken.toml"), []byte(head+strings.ReplaceAll(b.String(), "[[target]]", "[[targte]]")), 0o600); err != nil {
		t.Fatal(err)
	}
	command("a broken configuration", "check", "-c", filepath.Join(dir, "broken.toml"))
	command("backup", "backup", "-c", config, "--to", filepath.Join(dir, "copy.db"))
	eventually(t, "points are delivered", func() bool { return lake.count() > 50 })
	d.stop()
	for _, name := range []string{"session", "basic", "ipmi"} {
		command("record "+name, "record", name, "-c", config, "--out", filepath.Join(dir, name+".tar.gz"))
		command("poll "+name, "poll", "-c", config, name)
	}
	for _, what := range exportKinds {
		command("export "+what, "export", "-c", config, "--what", what, "--format", "csv")
	}
	command("quarantine", "quarantine", "-c", config, "-o", "json")
	texts["log"] = []byte(d.stderr.String())
	texts["what the store decodes to"] = decoded(t, dataDir)
	lake.mu.Lock()
	for line := range lake.points {
		texts["points"] = append(append(texts["points"], line...), '\n')
	}
	lake.mu.Unlock()
	readAll(t, dir, texts, func(path string) bool {
		return filepath.Dir(path) == dir && strings.HasSuffix(path, ".toml") || strings.Contains(filepath.Base(path), "session") && filepath.Dir(path) != dir
	})

	if seen.Load() == 0 {
		t.Fatal("no session token was seen")
	}
	for name, proof := range map[string]string{ // that the test reads what it means to read
		"log": "msg=redfish", "poll beside the daemon": `"target":"ipmi"`, "status": "denied", "record session": "", "points": "hw_fan", "what the store decodes to": "Chassis",
		"export readings": "session", "poll basic": "basic", "copy.db": "SQLite format 3", "data/dewline.db": "SQLite format 3", "check": "denied",
	} {
		if text := texts[name]; len(text) == 0 || !bytes.Contains(text, []byte(proof)) {
			t.Errorf("%s holds no %q:\n%.600s", name, proof, text)
		}
	}
	if !strings.Contains(string(texts["log"]), "msg=ipmi") {
		t.Error("the wire of IPMI is not in the log")
	}
	captured := 0
	for name := range texts {
		if strings.Contains(name, ".tar.gz/") {
			captured++
		}
	}
	if captured < 20 {
		t.Errorf("%d files in the captures", captured)
	}
	for name, text := range texts {
		if found := leaksOf(secrets, text); found != nil {
			t.Errorf("%s holds: %s", name, strings.Join(found, "; "))
		}
	}
	t.Logf("%d secrets in %d texts", len(secrets), len(texts))
}

// decoded is everything that the store gives back: its blobs are compressed.
func decoded(t *testing.T, dataDir string) []byte {
	t.Helper()
	db, err := sqlite.OpenReadOnly(t.Context(), dataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	add := func(v any, err error) {
		t.Helper()
		if err == nil {
			err = enc.Encode(v)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range storetest.All(t, db) {
		add(v, nil)
	}
	statuses, err := db.Statuses(t.Context())
	add(statuses, err)
	for _, s := range statuses {
		known, err := db.Recall(t.Context(), s.Target)
		add(known, err)
		for _, c := range known.Cursors {
			out.Write(c)
		}
		out.Write(known.Memory)
		log, err := db.LogEntries(t.Context(), time.Time{}, time.Time{}, s.Target)
		add(log, err)
	}
	rejected, err := db.Rejected(t.Context(), "influxdb")
	add(rejected, err)
	return out.Bytes()
}

// readAll adds every file of a folder, and what is in its archives, but those to be left out.
func readAll(t *testing.T, dir string, texts map[string][]byte, skip func(string) bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || skip(path) {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if texts[name], err = os.ReadFile(path); err != nil || !strings.HasSuffix(path, ".tar.gz") {
			return err
		}
		z, err := gzip.NewReader(bytes.NewReader(texts[name]))
		if err != nil {
			return err
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if texts[name+"/"+h.Name], err = io.ReadAll(r); err != nil {
				return err
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
