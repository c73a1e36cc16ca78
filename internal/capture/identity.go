package capture

import (
	"crypto/hmac"
	"crypto/sha256"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Identity is something that names a machine, a person or a place.
type Identity struct {
	Kind Kind
	Text string
}

// Kind of an identity: how a replacement has to look.
type Kind uint8

// Kinds of identities.
const (
	Serial Kind = iota // letters and digits in their places: serial numbers, asset tags, names
	Name               // of a host or a person; of a domain name, each part
	UUID
	MAC
	IP
	Email
)

// ledger gives every identity one replacement of the same length and kind, the same within one recording and no other.
// The replacements follow from a random key that nobody keeps.
type ledger struct {
	key   []byte
	names map[string]bool   // names of properties: words of schemas
	keep  map[string]bool   // texts that look like identities and are none: versions
	kinds map[string]Kind   // canonical form -> kind, of what was found
	made  map[string]string // canonical form -> canonical replacement
	taken map[string]bool   // replacements given, and identities that must not come up as one

	index map[string][]string // first three bytes -> forms that are looked for inside of texts, the longest first
	used  map[string]bool     // canonical forms that were in truth replaced
}

// newLedger makes an empty one.
func newLedger(key []byte) *ledger {
	return &ledger{
		key: key, names: map[string]bool{}, keep: map[string]bool{}, kinds: map[string]Kind{}, made: map[string]string{},
		taken: map[string]bool{}, used: map[string]bool{},
	}
}

// canonical is the form in which two spellings of one identity are equal.
func canonical(kind Kind, s string) string {
	s = strings.ToLower(s)
	switch kind {
	case UUID, MAC:
		return onlyHex(s)
	case IP:
		if a, err := netip.ParseAddr(s); err == nil {
			return a.WithZone("").String()
		}
	}
	return s
}

func onlyHex(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'f' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}

// placeholders are what firmware says where there is no serial number or name.
var placeholders = []string{
	"n/a", "na", "none", "null", "nil", "unknown", "undefined", "unspecified", "empty", "no", "yes", "not available", "not specified", "not present", "not applicable",
	"not set", "not installed", "default", "default string", "default_string", "to be filled by o.e.m.", "to be filled by oem", "no asset tag", "no asset information", "asset tag",
	"system serial number", "chassis serial number", "base board serial number", "serial number", "0123456789", "1234567890", "123456789", "localhost",
	"localhost.localdomain", "string", "null string", "tbd", "todo", "xxx", "(none)", "no dimm", "absent", "pending", "normal",
	"system", "server", "chassis", "manager", "host", "bmc", "self", "user", "username", "account", "accounts", "users", "name", "the", "all", "any", "other", "local", "remote",
	"service", "session", "console", "web", "gui", "cli", "ssh", "ipmi", "redfish", "snmp", "kvm", "true", "false", "enabled", "disabled", "on", "off",
	"openbmc", "idrac", "ilo", "xcc", "was", "has", "is", "are", "not", "with", "from", "via", "using", "password", "pwd", "interface", "login", "logout", "logged", "in", "out",
	"created", "deleted", "modified", "added", "removed", "failed", "successfully", "id", "role", "privilege", "administration", "management", "manual", "guide", "settings", "configuration", "control", "access", "action", "event", "log", "security", "and", "for", "by", "to", "at", "of", "or", "on-line",
}

// factoryUsers are the names that every BMC of a maker is delivered with: they name nobody.
var factoryUsers = []string{"root", "admin", "administrator", "userid", "sysadmin", "operator", "anonymous", "guest", "maintenance", "ipmi", "ipmiusr", "support"}

// placeholder tells whether a text stands for nothing.
func placeholder(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	if len(s) < 2 || slices.Contains(placeholders, s) || slices.Contains(factoryUsers, s) {
		return true
	}
	same := true
	for i := range len(s) {
		c := s[i]
		if c != '-' && c != ':' && c != '.' && c != ' ' && c != s[0] {
			same = false
			break
		}
	}
	return same // 0000, ffff-ffff, xxxx
}

// find makes an identity known.
func (l *ledger) find(kind Kind, s string) {
	s = strings.TrimSpace(s)
	if placeholder(s) || len(s) > 256 {
		return
	}
	switch kind {
	case Email:
		local, domain, _ := strings.Cut(s, "@")
		l.find(Name, local)
		l.find(Name, domain)
		return
	case Name:
		if a, err := netip.ParseAddr(s); err == nil {
			l.find(IP, a.String())
			return
		}
		if first, rest, ok := strings.Cut(s, "."); ok { // db1.example.org: the host, and its domain
			l.find(Name, first)
			if domain(rest) {
				l.put(Name, rest)
			}
			return
		}
	case IP:
		a, err := netip.ParseAddr(s)
		if err != nil || plainAddress(a) {
			return
		}
	case MAC:
		if len(onlyHex(s)) != 12 {
			kind = Serial
		}
	case UUID:
		if len(onlyHex(s)) != 32 {
			kind = Serial
		}
	}
	l.put(kind, s)
}

func (l *ledger) put(kind Kind, s string) {
	c := canonical(kind, s)
	if placeholder(c) || l.keep[c] {
		return
	}
	if _, known := l.kinds[c]; !known {
		l.kinds[c] = kind
	}
}

// domain tells whether what follows the first point of a name is somebody's, and not one that all the world ends with.
func domain(rest string) bool {
	return strings.Contains(rest, ".") || len(rest) > 4 && !slices.Contains([]string{"local", "localdomain", "internal", "intranet", "localnet"}, strings.ToLower(rest))
}

// plainAddress tells addresses that name nobody: none, loopback, multicast, masks.
func plainAddress(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() {
		return true
	}
	if a.Is4() {
		b := a.As4()
		return b[0] == 255 || b[0] == 0
	}
	return false
}

// settle gives all identities their replacements, in an order that does not depend on how they were found.
func (l *ledger) settle() {
	for c := range l.kinds {
		l.taken[c] = true
	}
	l.index = map[string][]string{}
	order := slices.SortedFunc(maps.Keys(l.kinds), func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, c := range order { // the shorter first: a host name may hold a serial number
		k := l.kinds[c]
		l.replacement(k, c)
		if k == IP || len(c) < 3 || k == Name && l.names[c] {
			continue // addresses are known by their form
		}
		for _, form := range forms(k, c) {
			l.index[form[:3]] = slices.Insert(l.index[form[:3]], 0, form)
		}
	}
	for _, list := range l.index {
		slices.SortStableFunc(list, func(a, b string) int { return len(b) - len(a) })
	}
}

// inside puts the replacements of identities that a longer one holds into its own.
func (l *ledger) inside(c, r string) string {
	out := []byte(r)
	for i := 0; i+3 <= len(c); i++ {
		for _, form := range l.index[c[i:i+3]] {
			end := i + len(form)
			if len(form) >= len(c) || end > len(c) || c[i:end] != form || !bounded(c, i, end) {
				continue
			}
			canon := form
			if _, known := l.kinds[canon]; !known {
				canon = onlyHex(form)
			}
			copy(out[i:end], dress(form, l.made[canon]))
			i = end - 1
			break
		}
	}
	return string(out)
}

// forms are the spellings, in lower case, in which an identity is looked for.
func forms(k Kind, c string) []string {
	switch {
	case k == MAC && len(c) == 12:
		pairs := []string{c[0:2], c[2:4], c[4:6], c[6:8], c[8:10], c[10:12]}
		return []string{c, strings.Join(pairs, ":"), strings.Join(pairs, "-"), c[0:4] + "." + c[4:8] + "." + c[8:12], strings.Join(pairs, "_")}
	case k == UUID && len(c) == 32:
		return []string{c, c[0:8] + "-" + c[8:12] + "-" + c[12:16] + "-" + c[16:20] + "-" + c[20:]}
	}
	return []string{c}
}

// replacement is what stands for a canonical form.
func (l *ledger) replacement(kind Kind, c string) string {
	if r, ok := l.made[c]; ok {
		return r
	}
	r := c
	for round := range byte(200) {
		r = l.inside(c, l.draw(kind, c, round))
		if !l.taken[r] && r != c {
			break
		}
	}
	l.made[c], l.taken[r] = r, true
	return r
}

// draw makes a text of the same form out of the key.
func (l *ledger) draw(kind Kind, c string, round byte) string {
	stream := &stream{key: l.key, seed: append([]byte{byte(kind), round}, c...)}
	if kind == Name { // a word here, a part of a host name there: both alike
		stream.seed[0] = byte(Serial)
	}
	if kind == IP {
		return drawAddress(c, stream)
	}
	hexOnly := kind == UUID || kind == MAC
	out := []byte(c)
	for i := range out {
		switch {
		case hexOnly && kind == MAC && i < 6: // the maker's part stays
		case hexOnly && kind == UUID && (i == 12 || i == 16): // version and variant stay
		case hexOnly && (isDigit(out[i]) || out[i] >= 'a' && out[i] <= 'f'):
			out[i] = "0123456789abcdef"[stream.next(16)]
		case isDigit(out[i]):
			out[i] = '0' + stream.next(10)
		case out[i] >= 'a' && out[i] <= 'f' && hexLike(c): // what is read as hexadecimal remains so
			out[i] = 'a' + stream.next(6)
		case out[i] >= 'a' && out[i] <= 'z':
			out[i] = 'a' + stream.next(26)
		case out[i] >= 0x80: // a letter of another alphabet
			out[i] = 'x'
		}
	}
	return string(out)
}

// hexLike: hexadecimal digits, some of them digits, and nothing else but separators.
func hexLike(s string) bool {
	digits := false
	for i := range len(s) {
		c := s[i]
		digits = digits || isDigit(c)
		if !isDigit(c) && !(c >= 'a' && c <= 'f') && c != '-' && c != ':' && c != '.' && c != '_' {
			return false
		}
	}
	return digits
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlnum(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// drawAddress keeps the number of digits in each place, so that texts keep their length, and of IPv6 what kind it is.
func drawAddress(c string, s *stream) string {
	if i := strings.LastIndexByte(c, ':'); i >= 0 && strings.Contains(c[i:], ".") { // ::ffff:10.0.0.7
		return c[:i+1] + drawAddress(c[i+1:], s)
	}
	if strings.Contains(c, ":") {
		out := []byte(c)
		keep := 0
		if strings.HasPrefix(c, "fe80:") || strings.HasPrefix(c, "2001:") {
			keep = 4
		}
		for i := range out {
			if i >= keep && (isDigit(out[i]) || out[i] >= 'a' && out[i] <= 'f') {
				lead := i == 0 || out[i-1] == ':'
				if d := s.next(16); lead && d == 0 {
					out[i] = '1'
				} else {
					out[i] = "0123456789abcdef"[d]
				}
			}
		}
		return string(out)
	}
	parts := strings.Split(c, ".")
	for i, p := range parts {
		switch len(p) {
		case 1:
			if i == 0 || p != "0" {
				parts[i] = string('1' + s.next(9))
			}
		case 2:
			parts[i] = string([]byte{'1' + s.next(9), '0' + s.next(10)})
		default:
			parts[i] = string([]byte{'1', '0' + s.next(10), '0' + s.next(10)})
		}
	}
	if parts[0] == "127" {
		parts[0] = "126"
	}
	return strings.Join(parts, ".")
}

// stream is random numbers that follow from a key.
type stream struct {
	key, seed []byte
	block     []byte
	n         byte
}

func (s *stream) next(below byte) byte {
	for {
		if len(s.block) == 0 {
			m := hmac.New(sha256.New, s.key)
			m.Write([]byte{s.n})
			m.Write(s.seed)
			s.block = m.Sum(nil)
			s.n++
		}
		b := s.block[0]
		s.block = s.block[1:]
		if limit := 256 / int(below) * int(below); int(b) < limit { // without a bias
			return b % below
		}
	}
}

// dress puts a canonical replacement into the clothes of the original: capitals, separators.
func dress(original, canonical string) string {
	if original == strings.ToUpper(original) && original != strings.ToLower(original) { // also where a letter takes a digit's place
		canonical = strings.ToUpper(canonical)
	}
	if len(original) != len(canonical) { // separators were left out
		out := []byte(original)
		k := 0
		for i := range out {
			if c := out[i] | 0x20; isDigit(out[i]) || c >= 'a' && c <= 'f' {
				if k < len(canonical) {
					out[i] = like(out[i], canonical[k])
					k++
				}
			}
		}
		return string(out)
	}
	out := []byte(original)
	for i := range out {
		if out[i] != canonical[i] {
			out[i] = like(out[i], canonical[i])
		}
	}
	return string(out)
}

func like(original, c byte) byte {
	if upper := original >= 'A' && original <= 'Z'; upper && c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// whole is the replacement of a text that is an identity as a whole.
func (l *ledger) whole(kind Kind, s string) string {
	trimmed := strings.TrimSpace(s)
	if placeholder(trimmed) {
		return s
	}
	lead := s[:strings.Index(s, trimmed)]
	tail := s[len(lead)+len(trimmed):]
	return lead + l.bare(kind, trimmed) + tail
}

func (l *ledger) bare(kind Kind, s string) string {
	switch kind {
	case Email:
		if local, domain, ok := strings.Cut(s, "@"); ok {
			return l.whole(Name, local) + "@" + l.whole(Name, domain)
		}
		kind = Name
	case IP:
		if a, err := netip.ParseAddr(s); err != nil || plainAddress(a) {
			return s
		}
	}
	if kind == Name {
		if a, err := netip.ParseAddr(s); err == nil {
			if plainAddress(a) {
				return s
			}
			kind = IP
		} else if first, rest, ok := strings.Cut(s, "."); ok {
			if domain(rest) {
				rest = l.dressed(Name, rest)
			}
			return l.whole(Name, first) + "." + rest
		}
	}
	if kind == MAC && len(onlyHex(s)) != 12 || kind == UUID && len(onlyHex(s)) != 32 {
		kind = Serial
	}
	return l.dressed(kind, s)
}

func (l *ledger) dressed(kind Kind, s string) string {
	c := canonical(kind, s)
	if l.keep[c] || placeholder(c) {
		return s
	}
	if k, known := l.kinds[c]; known {
		kind = k
	} else if kind == Serial { // it may be known in another form
		if h := onlyHex(s); len(h) == len(strings.NewReplacer("-", "", ":", "").Replace(s)) {
			if k, known := l.kinds[h]; known {
				kind, c = k, h
			}
		}
	}
	l.used[c] = true
	if kind == IP {
		r := l.replacement(kind, c)
		if len(r) == len(s) {
			return dress(s, r)
		}
		return r
	}
	return dress(s, l.replacement(kind, c))
}
