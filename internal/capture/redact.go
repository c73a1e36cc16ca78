package capture

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// kindOf tells what a property's value is by the property's name.
func kindOf(key string) (Kind, bool) {
	k := squash(strings.ToLower(key))
	switch {
	case k == "":
		return 0, false
	case strings.HasPrefix(k, "@"):
		return 0, false
	case strings.HasSuffix(k, "uuid") || strings.HasSuffix(k, "guid") || k == "persistentid":
		return UUID, true
	case strings.Contains(k, "macaddress") || k == "mac" || k == "associatednetworkaddresses" || strings.HasSuffix(k, "macaddr") || k == "burnedinaddress":
		return MAC, true
	case strings.Contains(k, "email"):
		return Email, true
	case strings.Contains(k, "serialnum") || k == "serial" || k == "sn" || strings.HasSuffix(k, "servicetag") || strings.Contains(k, "assettag") ||
		strings.Contains(k, "expressservice") || k == "nodeid" || k == "sku" || strings.Contains(k, "ppin") || k == "protectedidentificationnumber" ||
		k == "durablename" || strings.HasPrefix(k, "wwn") || strings.HasSuffix(k, "wwn") || k == "wwpn" || k == "eui64" || k == "nguid" || k == "sasaddress" ||
		strings.HasSuffix(k, "ppid") || k == "imei" || k == "imsi" || k == "iccid" || strings.HasSuffix(k, "serialno") || k == "assetinfo" || k == "iqn" ||
		k == "initiatorname" || k == "targetname" || k == "licensekeyid" || k == "entitlementid" || k == "latitude" || k == "longitude" || k == "boardsn" || k == "productsn" || k == "chassissn":
		return Serial, true
	case strings.Contains(k, "hostname") || strings.HasSuffix(k, "fqdn") || strings.HasSuffix(k, "domainname") || k == "username" || k == "user" || k == "loginname" || k == "computername" ||
		k == "contact" || k == "contactname" || k == "contacts" || k == "phonenumber" || k == "createdby" || k == "owner" || k == "systemowner" || k == "dnsname" || k == "dnsracname" ||
		k == "dnsdomainname" || k == "searchdomains" || k == "systemlocation" || k == "syslocation" || k == "syscontact" || k == "clientid" || k == "accountname":
		return Name, true
	}
	return 0, false
}

// personal are objects in which every text names a place or a person.
func personal(path []string) bool {
	return slices.ContainsFunc(path, func(k string) bool { return k == "PostalAddress" || k == "Contacts" || k == "PhysicalAddress" })
}

// versionKey: a value with points and numbers in it that is no address.
func versionKey(key string) bool {
	k := strings.ToLower(key)
	return strings.Contains(k, "version") || strings.Contains(k, "firmware") || strings.Contains(k, "revision") || strings.Contains(k, "release") || k == "build" || k == "bios"
}

var (
	serviceTag = regexp.MustCompile(`^[0-9A-Z]{7}$`)
	uuidForm   = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	macForm    = regexp.MustCompile(`(?i)(?:^|[^0-9a-f:-])((?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2})(?:$|[^0-9a-f:-])`)
	ipv4Form   = regexp.MustCompile(`(?:^|[^0-9A-Za-z.])((?:[0-9]{1,3}\.){3}[0-9]{1,3})(?:$|[^0-9A-Za-z.]|\.(?:$|[^0-9]))`)
	ipv6Form   = regexp.MustCompile(`(?i)(?:^|[^0-9a-z:.])([0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3})?)(?:$|[^0-9a-z:])`)
	emailForm  = regexp.MustCompile(`[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
	// A name after "user" is one only where the text speaks of logging in: "see the user manual" does not.
	aboutUsers = regexp.MustCompile(`(?i)\blog(?:ged|s|ging|in|out|on|off)?\b|authenticat|session|password|privilege|locked`)
	userForm   = regexp.MustCompile(`(?i)\b(?:user(?: ?name| ?id| account)?|account)\s*[:=]?\s+["'(\[]?([A-Za-z][A-Za-z0-9._\\-]*[A-Za-z0-9])`)
	loginForm  = regexp.MustCompile(`(?i)\blog(?:ged|in|out|on|off)?[ -]?(?:in|out|on|off)?(?: successfully)? ?(?:using|by|as|for|:)\s+["'(\[]?([A-Za-z][A-Za-z0-9._\\-]*[A-Za-z0-9])`)
	hostForm   = regexp.MustCompile(`(?i)\b(?:host ?name|fqdn|server name|domain name)\s*(?:[:=]|is|to|set to|changed to)?\s+["'(\[]?([A-Za-z0-9][A-Za-z0-9.-]*[A-Za-z0-9])`)
	snForm     = regexp.MustCompile(`(?i)\b(?:serial ?(?:number|no\.?|#)?|s/n|service ?tag|asset ?tag|sn)\s*[:=#]?\s*["'(\[]?([A-Za-z0-9][A-Za-z0-9_-]{3,}[A-Za-z0-9])`)
)

// spot is where an identity of a known form stands in a text.
type spot struct {
	from, to int
	kind     Kind
}

// reading is how a text is to be read.
type reading uint8

const (
	prose    reading = iota
	aVersion         // nothing in it is an address
	aWord            // of a registry: it tells no user's name
)

// readingOf tells how a property's value is to be read.
func readingOf(key string) reading {
	switch {
	case versionKey(key):
		return aVersion
	case strings.EqualFold(key, "MessageId"), key == "Name", key == "Description":
		return aWord
	}
	return prose
}

// spots finds the identities that show by their form.
func spots(s string, as reading) []spot {
	version := as == aVersion
	var out []spot
	add := func(re *regexp.Regexp, group int, kind Kind, ok func(string) bool) {
		for at := 0; at <= len(s); { // a character that ends one may begin the next
			m := re.FindStringSubmatchIndex(s[at:])
			if m == nil {
				return
			}
			from, to := at+m[2*group], at+m[2*group+1]
			if ok == nil || ok(s[from:to]) {
				out = append(out, spot{from, to, kind})
			}
			at = max(to, at+1)
		}
	}
	if strings.Count(s, "-") >= 4 {
		add(uuidForm, 0, UUID, nil)
	}
	if strings.Count(s, ":") >= 5 || strings.Count(s, "-") >= 5 {
		add(macForm, 1, MAC, nil)
	}
	if !version {
		address := func(t string) bool {
			a, err := netip.ParseAddr(t)
			return err == nil && !plainAddress(a)
		}
		if strings.Count(s, ".") >= 3 {
			add(ipv4Form, 1, IP, address)
		}
		if strings.Count(s, ":") >= 2 {
			add(ipv6Form, 1, IP, address)
		}
	}
	if strings.Contains(s, "@") {
		add(emailForm, 0, Email, func(t string) bool {
			_, domain, _ := strings.Cut(t, "@")
			first, _, _ := strings.Cut(domain, ".")
			return first != "odata" && first != "Redfish" && first != "Message" // an annotation: Members@odata.count
		})
	}
	if as == prose && strings.Contains(s, " ") {
		word := func(t string) bool { return !placeholder(t) }
		add(loginForm, 1, Name, word)
		if aboutUsers.MatchString(s) {
			add(userForm, 1, Name, word)
		}
		add(hostForm, 1, Name, word)
		add(snForm, 1, Serial, func(t string) bool { return word(t) && strings.ContainsAny(t, "0123456789") })
	}
	return out
}

// collect makes known what identities a document names.
func (l *ledger) collect(b []byte) {
	walkJSON(b, func(t token) (string, bool) {
		if t.name {
			if schemaWord(t.text) {
				l.names[strings.ToLower(t.text)] = true
			}
			l.collectText(t.text, aWord)
			return "", true
		}
		if t.word {
			return "", true
		}
		if versionKey(t.key) && !t.number {
			l.keep[strings.ToLower(strings.TrimSpace(t.text))] = true
		}
		if kind, ok := kindOf(t.key); ok && looksRight(kind, t.key, t.text) {
			if kind == Serial && t.number && len(t.text) < 4 {
				return "", true
			}
			l.find(kind, t.text)
		} else if personal(t.path) && !t.number {
			l.find(Name, t.text)
		}
		if !t.number && t.key != "@odata.type" && t.key != "@odata.context" {
			l.collectText(t.text, readingOf(t.key))
			if strings.HasPrefix(t.text, "/") && strings.Contains(t.text, "%") {
				l.collectText(unescape(t.text), aWord)
			}
		}
		return "", true
	})
}

// schemaWord: the name of a property as schemas have it, and not a serial number that is used as one.
func schemaWord(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= '0' && r <= '9' }) < 0
}

func (l *ledger) collectText(s string, as reading) {
	for _, p := range spots(s, as) {
		if !(p.kind == IP && l.keep[strings.ToLower(s[p.from:p.to])]) {
			l.find(p.kind, s[p.from:p.to])
		}
	}
}

// rewrite puts the replacements into a document.
func (l *ledger) rewrite(b []byte) []byte {
	return walkJSON(b, func(t token) (string, bool) {
		switch {
		case t.word, t.key == "@odata.type", t.key == "@odata.context":
			return "", true
		case t.number:
			kind, ok := kindOf(t.key)
			if known, is := l.kinds[t.text]; is && len(t.text) >= 6 && strings.Trim(t.text, "0123456789") == "" {
				kind, ok = known, true
			}
			if !ok || kind != Serial && kind != Name || len(t.text) < 4 {
				return "", true
			}
			r := l.whole(Serial, t.text)
			if r[0] == '0' && t.text[0] != '0' { // no number begins so
				r = "1" + r[1:]
			}
			if !json.Valid([]byte(r)) {
				r = "0"
			}
			return r, false
		case t.name:
			return l.text(t.text, aWord), false
		}
		if kind, ok := kindOf(t.key); ok && !strings.ContainsAny(t.text, "/") {
			if looksRight(kind, t.key, t.text) {
				return l.whole(kind, t.text), false
			}
		} else if personal(t.path) {
			return l.whole(Name, t.text), false
		}
		if strings.HasPrefix(t.text, "/") {
			return l.url(t.text, true), false // as the address of the document it leads to
		}
		return l.text(t.text, readingOf(t.key)), false
	})
}

// looksRight tells whether a value can be what its property's name says: "Auto" under MACAddress is none.
func looksRight(kind Kind, key, s string) bool {
	if strings.EqualFold(key, "SKU") { // Dell's is the service tag, everybody else's is what was bought
		return serviceTag.MatchString(s)
	}
	switch kind {
	case MAC:
		return len(onlyHex(s)) >= 12
	case IP:
		return strings.ContainsAny(s, ".:")
	}
	return true
}

// text puts the replacements into a text: of what shows by its form, and of everything that is known.
func (l *ledger) text(s string, as reading) string {
	if len(s) < 3 {
		return s
	}
	type change struct {
		from, to int
		with     string
	}
	var changes []change
	free := func(from, to int) bool {
		return !slices.ContainsFunc(changes, func(c change) bool { return from < c.to && c.from < to })
	}
	for _, p := range spots(s, as) {
		was := s[p.from:p.to]
		if !free(p.from, p.to) || p.kind == IP && l.keep[strings.ToLower(was)] {
			continue
		}
		if with := l.whole(p.kind, was); with != was {
			changes = append(changes, change{p.from, p.to, with})
		}
	}
	low := asciiLower(s)
	for i := 0; i+3 <= len(low); i++ {
		for _, form := range l.index[low[i:i+3]] {
			end := i + len(form)
			if end > len(low) || low[i:end] != form || !bounded(low, i, end) || !free(i, end) {
				continue
			}
			c, kind := form, Serial
			if k, known := l.kinds[c]; known {
				kind = k
			} else {
				c = onlyHex(form)
				kind = l.kinds[c]
			}
			if kind == Name && l.names[c] {
				continue
			}
			l.used[c] = true
			changes = append(changes, change{i, end, dress(s[i:end], l.replacement(kind, c))})
			i = end - 1
			break
		}
	}
	if len(changes) == 0 {
		return s
	}
	slices.SortFunc(changes, func(a, b change) int { return a.from - b.from })
	var out strings.Builder
	at := 0
	for _, c := range changes {
		out.WriteString(s[at:c.from])
		out.WriteString(c.with)
		at = c.to
	}
	out.WriteString(s[at:])
	return out.String()
}

// asciiLower keeps the places of all bytes, which strings.ToLower does not.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return string(b)
}

// bounded tells whether what stands at a place is the identity, and not a piece of another word. Long ones of letters and
// digits are found inside of words too: firmware glues them to names.
func bounded(s string, from, to int) bool {
	before, after := byte(0), byte(0)
	if from > 0 {
		before = s[from-1]
	}
	if to < len(s) {
		after = s[to]
	}
	if !isAlnum(before) && !isAlnum(after) {
		return true
	}
	form := s[from:to]
	digits, letters := 0, 0
	for i := range len(form) {
		switch {
		case isDigit(form[i]):
			digits++
		case isAlnum(form[i]):
			letters++
		}
	}
	switch {
	case len(form) >= 7 && digits > 0 && letters > 0:
		return true
	case len(form) >= 8 && letters == 0: // a number, not a piece of a longer one
		return !isDigit(before) && !isDigit(after)
	}
	return false
}
