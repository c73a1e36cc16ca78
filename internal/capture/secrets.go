package capture

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// secrets blanks what must be in no recording, redacted or not: our own password and token, whatever a service keeps
// under a name that means a secret, and keys in PEM.
type secrets struct {
	mu     sync.Mutex
	known  []string // the longest first
	masked int
}

// minSecret is the least length by which a secret is looked for inside of longer text: the password "1" would blank
// every 1 of the recording. A shorter one is blanked where it stands alone.
const minSecret = 4

func newSecrets(list []string) *secrets {
	s := &secrets{}
	for _, p := range list {
		s.add(p)
	}
	return s
}

// add makes a secret known, in the forms it may be told in.
func (s *secrets) add(secret string) {
	if secret == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))} {
		if !slices.Contains(s.known, form) {
			s.known = append(s.known, form)
		}
	}
	slices.SortFunc(s.known, func(a, b string) int { return len(b) - len(a) })
}

// secretWords mark the names of properties whose values are secrets.
var secretWords = []string{
	"password", "passwd", "passphrase", "pwd", "secret", "token", "privatekey", "apikey", "sshkey", "ssh_key",
	"publickey", "encryptionkey", "authenticationkey", "privacykey", "licensekey", "accesskey", "authorization", "community", "communityname",
	"credential", "cookie", "certificatestring", "keystring", "sharedkey", "presharedkey", "kgkey", "bmckey", "activationkey", "authnsecret",
	"passcode", "pincode", "sessionkey", "hmackey",
}

// notSecret are names with such a word in them that say nothing secret.
var notSecret = []string{"partnumber", "tokenservice", "credentialbootstrapping"}

func secretKey(key string) bool {
	if key == "" {
		return false
	}
	k := strings.ToLower(key)
	if k == "pin" || k == "key" || k == "kg" || k == "psk" || k == "jwt" {
		return true
	}
	k = squash(k)
	for _, n := range notSecret {
		if strings.Contains(k, n) {
			return false
		}
	}
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(k, w) })
}

// squash takes out what parts the words of a name.
func squash(s string) string {
	if !strings.ContainsAny(s, "-_ ") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == ' ' {
			return -1
		}
		return r
	}, s)
}

var (
	pemBlock = regexp.MustCompile(`(?s)-----BEGIN .*?(-----END [^-]*-----|$)`)
	// Log messages and command lines that spell a secret out.
	spelled  = regexp.MustCompile(`(?i)\b((?:new |old |current )?(?:password|passwd|passphrase|pwd|secret|token|api[ _-]?key|private[ _-]?key|community(?: string| name)?|x-auth-token|authorization)\s*(?:=|:|\bis\b|\bto\b)\s*(?:bearer |basic )?)("[^"]*"|'[^']*'|[^\s,;"'}]+)`)
	bearer   = regexp.MustCompile(`(?i)\b(bearer|basic)\s+([A-Za-z0-9+/_.=-]{8,})`)
	jwt      = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
	userinfo = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^/\s@"']+)@`)
	sshKey   = regexp.MustCompile(`\b(ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-\S+) [A-Za-z0-9+/=]{16,}`)
)

func blank(n int) string { return strings.Repeat("x", n) }

// text blanks the secrets in a text.
func (s *secrets) text(t string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := t
	for _, k := range s.known {
		if len(k) < minSecret {
			if t == k {
				t = blank(len(t))
			}
			continue
		}
		if strings.Contains(t, k) {
			t = strings.ReplaceAll(t, k, blank(len(k)))
		}
	}
	if strings.Contains(t, "-----BEGIN") {
		t = pemBlock.ReplaceAllStringFunc(t, func(m string) string { return blank(len(m)) })
	}
	if strings.ContainsAny(t, "=: ") {
		t = spelled.ReplaceAllStringFunc(t, func(m string) string {
			i := spelled.FindStringSubmatchIndex(m)
			return m[:i[4]] + blank(i[5]-i[4])
		})
		t = bearer.ReplaceAllStringFunc(t, func(m string) string {
			i := bearer.FindStringSubmatchIndex(m)
			return m[:i[4]] + blank(i[5]-i[4])
		})
		t = sshKey.ReplaceAllStringFunc(t, func(m string) string { return blank(len(m)) })
	}
	if strings.Contains(t, "://") {
		t = userinfo.ReplaceAllStringFunc(t, func(m string) string {
			i := userinfo.FindStringSubmatchIndex(m)
			return m[:i[4]] + blank(i[5]-i[4]) + "@"
		})
	}
	if strings.Contains(t, "eyJ") {
		t = jwt.ReplaceAllStringFunc(t, func(m string) string { return blank(len(m)) })
	}
	if t != before {
		s.masked++
	}
	return t
}

// json blanks the secrets of a document.
func (s *secrets) json(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	return walkJSON(b, func(t token) (string, bool) {
		switch {
		case t.name:
			return s.text(t.text), false
		case !secretKey(t.key) && !slices.ContainsFunc(t.path, secretKey):
			if t.number && s.is(t.text) {
				return "0", false
			}
			if t.word || t.number {
				return "", true
			}
			return s.text(t.text), false
		case t.word || t.key == "@odata.id" || t.key == "@odata.type":
			return s.text(t.text), false // a link to where secrets are is none, and neither is yes or no
		case t.number:
			return "0", false
		case t.text == "" || t.text == blank(len(t.text)) || !s.spell(t):
			return t.text, true
		}
		s.mu.Lock()
		s.masked++
		s.mu.Unlock()
		return blank(len(t.text)), false
	})
}

// is tells whether a text is a secret of ours as a whole.
func (s *secrets) is(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.known, text)
}

// spell tells whether a value under a secret's name could be one: not words of a schema such as Enabled.
func (s *secrets) spell(t token) bool { return t.text != "Enabled" && t.text != "Disabled" }

// bytes blanks the secrets in what is no text.
func (s *secrets) bytes(b []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.known {
		if len(k) >= minSecret && bytes.Contains(b, []byte(k)) {
			b = bytes.ReplaceAll(b, []byte(k), []byte(blank(len(k))))
			s.masked++
		}
	}
	return b
}
