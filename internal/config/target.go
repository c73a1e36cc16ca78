package config

import (
	"cmp"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"dewline/health"
)

// targets reads the credentials and what uses them.
func (c *checker) targets(cfg *Config, def *Target, raw *rawFile) {
	credentials := map[string]*Credential{}
	places := map[string]string{}
	for i := range raw.Credentials {
		path := fmt.Sprintf("credential[%d]", i)
		cred := c.credential(path, &raw.Credentials[i])
		if cred.Name == "" {
			continue
		}
		if first, twice := places[cred.Name]; twice {
			c.twice(path+".name", first+".name", "credential "+quote(cred.Name))
			continue
		}
		credentials[cred.Name], places[cred.Name] = cred, path
	}
	names, addresses, used := map[health.TargetID]string{}, map[string]string{}, map[string]bool{}
	for i := range raw.Targets {
		path := fmt.Sprintf("target[%d]", i)
		if !c.has(path) {
			continue // a fault of its type was told
		}
		t := c.target(path, def, &raw.Targets[i], &cfg.Schedule)
		if first, twice := names[t.ID]; twice && t.ID != "" {
			c.twice(path+".name", first+".name", "target "+quote(string(t.ID)))
		} else {
			names[t.ID] = path
		}
		if a, message, _ := parseAddress(t.Address); message == "" && t.Address != "" && t.Origin != health.OriginReplay {
			if first, twice := addresses[a.same()]; twice {
				line, _ := c.src.place(c.at(first + ".address"))
				c.warn(path+".address", fmt.Sprintf("`address` is that of the target in line %d: the BMC is read twice", line), "one target is enough")
			} else {
				addresses[a.same()] = path
			}
		}
		if at := path + ".credential"; t.Origin == health.OriginReplay && !c.has(at) {
			// nobody is logged in to
		} else if c.required(at, "[[target]]") {
			name := raw.Targets[i].Credential
			used[name] = true
			if cred := credentials[name]; cred != nil {
				t.Credential = *cred
				c.longName(at, &t)
			} else if c.whole && !c.credentialUnread(raw) {
				hint := didYouMean(name, slices.Sorted(maps.Keys(credentials)))
				c.fault(at, "no [[credential]] is named "+quote(name), cmp.Or(hint, "add one with this name"))
			}
		}
		t.Quirks = cfg.Quirks
		cfg.Targets = append(cfg.Targets, t)
	}
	for name, path := range places {
		if !used[name] {
			c.warn(path+".name", "credential "+quote(name)+" is used by no target", "")
		}
	}
}

// credentialUnread tells whether the name of some credential is not known: then no name can be called unknown.
func (c *checker) credentialUnread(raw *rawFile) bool {
	if p, there := c.places["credential"]; there && p.bad {
		return true
	}
	for i := range raw.Credentials {
		if p, there := c.places[fmt.Sprintf("credential[%d].name", i)]; !there || p.bad {
			return true
		}
	}
	return false
}

func (c *checker) twice(path, first, what string) {
	line, _ := c.src.place(c.at(first))
	c.fault(path, fmt.Sprintf("%s is already defined in line %d", what, line), "names are unique")
}

func (c *checker) credential(path string, raw *rawCredential) *Credential {
	cred := &Credential{}
	if !c.has(path) {
		return cred
	}
	if c.required(path+".name", "[[credential]]") && c.name(path+".name", "`name`", raw.Name) {
		cred.Name = raw.Name
	}
	if c.required(path+".username", "[[credential]]") && c.name(path+".username", "`username`", raw.Username) {
		cred.Username = raw.Username
	}
	if c.required(path+".password", "[[credential]]") {
		if raw.Password == "" {
			c.warn(path+".password", "`password` is empty: anyone can log in to these BMCs", "set one on them")
		} else {
			cred.Password = c.secret(path+".password", raw.Password)
		}
	}
	return cred
}

// longName refuses a user name that IPMI cannot carry: RAKP message 1 has 16 bytes for it (IPMI 2.0 section 13.20).
func (c *checker) longName(path string, t *Target) {
	const most = 16
	if n := len(t.Credential.Username); t.Driver == health.DriverIPMI && n > most {
		c.fault(path, fmt.Sprintf("the user name of this credential has %d bytes: IPMI knows %d", n, most), "")
	}
}

func (c *checker) target(path string, def *Target, raw *rawTarget, common *Schedule) Target {
	t := *def
	t.CipherSuites = slices.Clone(def.CipherSuites)
	if c.required(path+".name", "[[target]]") && c.name(path+".name", "`name`", raw.Name) {
		t.ID = health.TargetID(raw.Name)
	}
	c.reach(path, &t, raw)
	for key, s := range map[string]struct {
		text string
		to   *string
	}{"site": {raw.Site, &t.Site}, "rack": {raw.Rack, &t.Rack}} {
		if c.has(path+"."+key) && s.text != "" && c.name(path+"."+key, quote(key), s.text) {
			*s.to = s.text
		}
	}
	if c.has(path + ".position") {
		c.between(path+".position", raw.Position, 1, 100)
		t.Position = raw.Position
	}
	t.Labels = c.labels(path+".labels", raw.Labels)
	c.dates(path, &t, raw)
	for key, n := range map[string]struct {
		n  int
		to **int
	}{"fans": {raw.Expect.Fans, &t.Expect.Fans}, "psus": {raw.Expect.PSUs, &t.Expect.PSUs}, "drives": {raw.Expect.Drives, &t.Expect.Drives}} {
		if at := path + ".expect." + key; c.has(at) {
			c.between(at, n.n, 0, 10000)
			*n.to = &n.n
		}
	}
	t.Schedule = maps.Clone(common.Tiers)
	c.specs(path+".schedule", raw.Schedule, common.Timezone, t.Schedule)
	t.TLS = TLS{CAFile: c.caFile(path+".tls.ca_file", raw.TLS.CAFile), Insecure: raw.TLS.Insecure}
	t.TLS.Fingerprint = c.fingerprint(path+".tls.fingerprint", raw.TLS.Fingerprint)
	c.oneTrust(path+".tls", raw.TLS)
	if raw.TLS.Insecure && t.Driver != health.DriverIPMI {
		c.warn(path+".tls.insecure", "the certificate of this BMC is not verified", "use ca_file or fingerprint")
	}
	if c.has(path + ".redfish.auth") {
		c.oneOf(path+".redfish.auth", raw.Redfish.Auth, "auto", "session", "basic")
		t.Auth = raw.Redfish.Auth
	}
	if c.has(path + ".ipmi.privilege") {
		c.oneOf(path+".ipmi.privilege", raw.IPMI.Privilege, "user", "operator", "admin")
		t.Privilege = raw.IPMI.Privilege
	}
	if at := path + ".ipmi.cipher_suites"; c.has(at) {
		c.cipherSuites(at, raw.IPMI.CipherSuites)
		t.CipherSuites = raw.IPMI.CipherSuites
	}
	for driver, raw := range map[string][]string{health.DriverRedfish: raw.Redfish.QuirksOff, health.DriverIPMI: raw.IPMI.QuirksOff} {
		if off := c.quirksOff(path+"."+driver+".quirks_off", driver, raw); len(off) > 0 {
			if t.QuirksOff == nil {
				t.QuirksOff = map[string][]string{}
			}
			t.QuirksOff[driver] = off
		}
	}
	c.idle(path, &t)
	return t
}

// reach reads address and driver, which must agree.
func (c *checker) reach(path string, t *Target, raw *rawTarget) {
	driverOK := true
	if c.has(path + ".driver") {
		driverOK = c.oneOf(path+".driver", raw.Driver, health.DriverAuto, health.DriverRedfish, health.DriverIPMI)
		t.Driver = raw.Driver
	}
	if c.has(path+".origin") && raw.Origin != "" {
		if c.oneOf(path+".origin", raw.Origin, string(health.OriginSim), string(health.OriginReplay)) {
			t.Origin = health.Origin(raw.Origin)
		}
	}
	if !c.required(path+".address", "[[target]]") {
		return
	}
	if file, recorded := strings.CutPrefix(raw.Address, ReplayScheme); recorded {
		c.replay(path, t, file)
		return
	}
	if t.Origin == health.OriginReplay {
		c.fault(path+".origin", "`origin` is replay, but `address` is no recording", "replay:FILE")
	}
	a, message, hint := parseAddress(raw.Address)
	if message != "" {
		c.fault(path+".address", message, hint)
		return
	}
	t.Address = a.text
	if a.driver == health.DriverAuto || !driverOK {
		return
	}
	if t.Driver == health.DriverAuto {
		t.Driver = a.driver // the scheme has decided
	}
	if t.Driver != a.driver {
		c.fault(path+".driver", fmt.Sprintf("`driver` is %s, but the scheme of `address` means %s", t.Driver, a.driver), "make them agree, or leave `driver` out")
	}
}

// replay makes a target of a recording: whatever else is said of it, its data is no real machine's.
func (c *checker) replay(path string, t *Target, file string) {
	t.Origin = health.OriginReplay
	if file == "" {
		c.fault(path+".address", "`address` names no recording", "replay:FILE, a file of `dewline record` or a Redfish mock-up")
		return
	}
	file = c.path(file)
	if st, err := os.Stat(file); err != nil {
		c.fault(path+".address", "`address`: the recording cannot be read: "+reasonOf(err), "replay:FILE, a file of `dewline record` or a Redfish mock-up")
	} else if !st.Mode().IsRegular() && !st.IsDir() {
		c.fault(path+".address", "`address`: "+quote(file)+" is neither a file nor a folder", "")
	}
	t.Address = ReplayScheme + file
}

// reasonOf is what the system says of a file, without the operation.
func reasonOf(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Path + ": " + pe.Err.Error()
	}
	return err.Error()
}

// idle warns of options that the chosen driver never looks at.
func (c *checker) idle(path string, t *Target) {
	if t.Driver == health.DriverIPMI {
		if t.TLS != (TLS{}) {
			c.warn(path+".tls", "`tls` has no effect: IPMI does not use TLS", "remove it")
		}
		if c.has(path+".redfish.auth") || c.has(path+".redfish.quirks_off") {
			c.warn(path+".redfish", "`redfish` has no effect: this target is read over IPMI", "remove it")
		}
	}
	if t.Driver == health.DriverRedfish && (c.has(path+".ipmi.privilege") || c.has(path+".ipmi.cipher_suites") || c.has(path+".ipmi.quirks_off")) {
		c.warn(path+".ipmi", "`ipmi` has no effect: this target is read over Redfish", "remove it")
	}
}

func (c *checker) cipherSuites(path string, suites []int) {
	if len(suites) == 0 {
		c.fault(path, "`cipher_suites` is empty", "for example [17, 3]")
	}
	for i, s := range suites {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !c.has(at) {
			continue
		}
		if s != 17 && s != 3 {
			c.fault(at, fmt.Sprintf("cipher suite %d is not supported", s), "17 (SHA-256) and 3 (SHA-1) are")
		} else if slices.Index(suites, s) < i {
			c.fault(at, fmt.Sprintf("cipher suite %d is named twice", s), "")
		}
	}
}

// reservedLabels are tags and fields that dewline itself writes to InfluxDB, and words InfluxDB keeps for itself. One key
// that is both tag and field cannot be queried sanely.
var reservedLabels = []string{
	"target", "site", "rack", "component", "class", "kind", "severity", "tier", "result", "reason",
	"present", "state", "message", "source", "source_time", "event_id", "took_seconds", "late_seconds", "requests", "exchanges", "gaps",
	"ticks", "time", "origin",
}

var labelName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// maxLabels bounds the tags of a series.
const maxLabels = 32

func (c *checker) labels(path string, raw map[string]string) map[string]string {
	if len(raw) > maxLabels {
		c.fault(path, fmt.Sprintf("%d labels: %d at most", len(raw), maxLabels), "")
	}
	var labels map[string]string
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		at := path + "." + name
		switch {
		case !labelName.MatchString(name) || len(name) > maxName:
			c.faultAtKey(at, "label "+quote(name)+" cannot be a tag in InfluxDB", "letters, digits and _, beginning with a letter")
		case slices.Contains(reservedLabels, name):
			c.faultAtKey(at, "label "+quote(name)+" is a tag or field that dewline writes itself", "take another name")
		}
		if c.has(at) && c.name(at, "label "+quote(name), raw[name]) {
			if labels == nil {
				labels = map[string]string{}
			}
			labels[name] = raw[name]
		}
	}
	return labels
}

func (c *checker) caFile(path, text string) string {
	if !c.has(path) || text == "" {
		return ""
	}
	file := c.path(text)
	if message := caProblem(file); message != "" {
		c.fault(path, "`ca_file`: "+message, "a PEM file with the certificate of the authority that signed the server's")
	}
	return file
}

// caProblem says what is wrong with a file of certificates, "" if nothing is.
func caProblem(file string) string {
	const largest = 4 << 20
	pem, err := readRegular(file, largest)
	if err != nil {
		return err.Error()
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return file + " holds no certificate in PEM"
	}
	return ""
}

func (c *checker) fingerprint(path, text string) string {
	if !c.has(path) || text == "" {
		return ""
	}
	print, message, hint := parseFingerprint(text)
	if message != "" {
		c.fault(path, message, hint)
	}
	return print
}

// parseFingerprint reads SHA-256 as openssl x509 -fingerprint prints it, or as plain hex, and gives plain lower-case hex.
func parseFingerprint(text string) (print, message, hint string) {
	const how = "openssl s_client -connect HOST:443 </dev/null | openssl x509 -noout -fingerprint -sha256"
	digits := strings.ToLower(text)
	for _, prefix := range []string{"sha256 fingerprint=", "sha256:", "sha-256:"} {
		digits = strings.TrimPrefix(digits, prefix)
	}
	digits = strings.ReplaceAll(digits, ":", "")
	b, err := hex.DecodeString(digits)
	switch {
	case err == nil && len(b) == 32:
		return digits, "", ""
	case err == nil && len(b) == 20:
		return "", "`fingerprint` is SHA-1: SHA-256 is needed", how
	}
	return "", "`fingerprint` is no SHA-256 of a certificate: 64 hex digits, with or without colons", how
}

// oneTrust refuses two ways to trust a certificate: which one wins would be a guess.
func (c *checker) oneTrust(path string, raw rawTLS) {
	var given []string
	if raw.CAFile != "" {
		given = append(given, "ca_file")
	}
	if raw.Fingerprint != "" {
		given = append(given, "fingerprint")
	}
	if raw.Insecure {
		given = append(given, "insecure")
	}
	if len(given) > 1 {
		c.fault(path+"."+given[1], "`"+strings.Join(given, "` and `")+"` exclude each other", "keep one")
	}
}
