package evidence

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Redacted begins the trusted comment of a report whose names and addresses were replaced before it was signed.
const Redacted = "REDACTED"

// Redactor replaces names of people and addresses: each by the same word wherever it stands, so that one can still see that two entries
// speak of the same. Words are given out in the order in which names are met: the same input gives the same words.
type Redactor struct {
	users, addresses map[string]string
	keep             map[string]bool
	known            *regexp.Regexp // of users and addresses that were named, nil until it is needed
}

// NewRedactor knows names from the start: those of a configuration, of operators, of who attests.
func NewRedactor(users, addresses []string) *Redactor {
	r := &Redactor{users: map[string]string{}, addresses: map[string]string{}, keep: map[string]bool{}}
	for _, u := range users {
		r.user(u)
	}
	for _, a := range addresses {
		r.address(a)
	}
	return r
}

// Keep names what is no address, whatever it looks like: versions of firmware are four numbers with dots too.
func (r *Redactor) Keep(texts ...string) {
	for _, t := range texts {
		r.keep[t] = true
	}
}

// Users and Addresses is how many were replaced.
func (r *Redactor) Users() int     { return len(r.users) }
func (r *Redactor) Addresses() int { return len(r.addresses) }

func (r *Redactor) user(name string) string {
	name = strings.TrimSpace(name)
	if w, ok := r.users[name]; ok || name == "" {
		return w
	}
	w := fmt.Sprintf("user-%d", len(r.users)+1)
	r.users[name], r.known = w, nil
	return w
}

func (r *Redactor) address(a string) string {
	a = strings.TrimSpace(a)
	key := strings.ToLower(a)
	if w, ok := r.addresses[key]; ok || a == "" {
		return w
	}
	w := fmt.Sprintf("address-%d", len(r.addresses)+1)
	r.addresses[key], r.known = w, nil
	return w
}

const nameOf = `['"]?([A-Za-z_][\w.@\\-]*)['"]?`

var (
	// Where BMCs name accounts in the messages of their logs.
	naming = []*regexp.Regexp{
		regexp.MustCompile(`(?i)\b(?:user ?name|user ?id|user|account|login) ?[:=] ?` + nameOf),
		regexp.MustCompile(`(?i)\b(?:by|for|as|of) (?:the )?(?:user|account) ` + nameOf),
		regexp.MustCompile(`(?i)\b(?:user|account) ` + nameOf + ` (?:logged|has logged|log|login|logout|from|via|at|was|is|has)\b`),
		regexp.MustCompile(`(?i)\b(?:logged in|log ?in|logged out|log ?out|login attempt|session (?:opened|closed|created)) (?:alert )?(?:by|for|as|of) ` + nameOf),
		regexp.MustCompile(`(?i)\busing ` + nameOf + `, from\b`),
		regexp.MustCompile(`([\w.+-]+@[\w-]+(?:\.[\w-]+)+)`),
	}
	// What such a place may hold and is no name.
	noName = []string{"the", "a", "an", "user", "account", "is", "was", "has", "from", "via", "not", "login", "logged", "name", "id", "session", "unknown", "local", "remote", "invalid"}

	addressLike = regexp.MustCompile(`(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|[0-9A-Fa-f:]*:[0-9A-Fa-f:]+(?:\.[0-9.]+)?(?:%[\w.]+)?|[0-9]{1,3}(?:\.[0-9]{1,3}){3}`)
	macLike     = regexp.MustCompile(`^(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$`)
)

// Learn looks for accounts that a text names, so that they are replaced wherever they stand.
func (r *Redactor) Learn(text string) {
	for _, re := range naming {
		for _, m := range re.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(noName, strings.ToLower(m[1])) {
				r.user(strings.TrimRight(m[1], ".-"))
			}
		}
	}
}

// Text is a text with what is known and what looks like an address replaced.
func (r *Redactor) Text(s string) string {
	if s == "" || r.keep[s] {
		return s
	}
	if r.known == nil {
		var all []string
		for _, m := range []map[string]string{r.users, r.addresses} {
			for name := range m {
				all = append(all, regexp.QuoteMeta(name))
			}
		}
		// The longest first: of two that begin alike it is the one that stands there.
		slices.SortFunc(all, func(a, b string) int {
			if d := len(b) - len(a); d != 0 {
				return d
			}
			return strings.Compare(a, b)
		})
		if len(all) == 0 {
			all = []string{`[^\s\S]`} // nothing
		}
		r.known = regexp.MustCompile(`(?i)` + strings.Join(all, "|"))
	}
	s = replaceWords(r.known, s, func(m string) (string, bool) {
		if w, ok := r.users[m]; ok {
			return w, true
		}
		w, ok := r.addresses[strings.ToLower(m)]
		return w, ok
	})
	return replaceWords(addressLike, s, func(m string) (string, bool) {
		if r.keep[m] {
			return "", false
		}
		if !macLike.MatchString(m) {
			if a, err := netip.ParseAddr(m); err != nil || a.IsUnspecified() || a.IsLoopback() {
				return "", false
			}
		}
		return r.address(m), true
	})
}

// replaceWords replaces matches that stand alone: with no letter, digit or joining sign on either side.
func replaceWords(re *regexp.Regexp, s string, with func(string) (string, bool)) string {
	var b strings.Builder
	last := 0
	for _, m := range re.FindAllStringIndex(s, -1) {
		// A full stop at the end of a sentence joins nothing.
		after := s[m[1]:]
		if m[0] > 0 && joins(s[m[0]-1]) || after != "" && joins(after[0]) && !(after[0] == '.' && (len(after) == 1 || !joins(after[1]))) {
			continue
		}
		w, ok := with(s[m[0]:m[1]])
		if !ok {
			continue
		}
		b.WriteString(s[last:m[0]])
		b.WriteString(w)
		last = m[1]
	}
	b.WriteString(s[last:])
	return b.String()
}

func joins(c byte) bool {
	return c == '_' || c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= utf8.RuneSelf
}

// Bytes is what Text makes of bytes that are text; others stay.
func (r *Redactor) Bytes(b []byte) []byte {
	if len(b) == 0 || !utf8.Valid(b) || bytes.ContainsRune(b, 0) {
		return b
	}
	return []byte(r.Text(string(b)))
}

// JSON is a JSON text with every string in it replaced but the names of members.
func (r *Redactor) JSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] != '"' {
			out = append(out, b[i])
			continue
		}
		end := i + 1
		for end < len(b) && b[end] != '"' {
			if b[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(b))
		quoted := b[i:end]
		i = end - 1
		var s string
		if rest := bytes.TrimLeft(b[end:], " \t\r\n"); len(rest) > 0 && rest[0] == ':' || json.Unmarshal(quoted, &s) != nil {
			out = append(out, quoted...)
			continue
		}
		t := r.Text(s)
		if t == s {
			out = append(out, quoted...)
			continue
		}
		again, err := json.Marshal(t)
		if err != nil {
			panic("evidence: a text that cannot be written: " + err.Error()) // it never fails
		}
		out = append(out, again...)
	}
	return out
}

// In replaces every string that can be reached from a pointer.
func (r *Redactor) In(ptr any) { r.walk(reflect.ValueOf(ptr)) }

func (r *Redactor) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			r.walk(v.Elem())
		}
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		if v.Elem().Kind() == reflect.Pointer {
			r.walk(v.Elem())
			return
		}
		c := reflect.New(v.Elem().Type()).Elem() // what an interface holds cannot be changed in place
		c.Set(v.Elem())
		r.walk(c)
		if v.CanSet() {
			v.Set(c)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				r.walk(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			r.walk(v.Index(i))
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(r.Text(v.String()))
		}
	}
}
