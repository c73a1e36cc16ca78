package config

import (
	"net/netip"
	"strconv"
	"strings"

	"dewline/health"
)

// address is the parts of a target's address.
type address struct {
	driver string // redfish or ipmi by the scheme, auto without one
	host   string // lower case, without brackets
	port   int    // 0: not given
	text   string // as it is handed on
}

// ReplayScheme begins the address of a target that is a recording.
const ReplayScheme = "replay:"

// Ports of the two protocols.
const (
	portHTTPS = 443
	portIPMI  = 623
)

// same is equal for two addresses of one BMC: host and port, the usual ports of both protocols being one.
func (a address) same() string {
	if a.port == 0 || a.port == portHTTPS && a.driver != health.DriverIPMI || a.port == portIPMI && a.driver == health.DriverIPMI {
		return a.host
	}
	return a.host + " " + a.driver + " " + strconv.Itoa(a.port)
}

// parseAddress reads https://HOST[:PORT], ipmi://HOST[:PORT] or HOST[:PORT]. It does not use net/url, whose errors repeat
// the text, and with it a password somebody put there.
func parseAddress(text string) (a address, message, hint string) {
	const forms = "https://HOST[:PORT], ipmi://HOST[:PORT] or HOST"
	a.driver = health.DriverAuto
	rest := text
	if scheme, after, found := strings.Cut(text, "://"); found {
		rest = after
		switch strings.ToLower(scheme) {
		case "https":
			a.driver = health.DriverRedfish
		case "ipmi":
			a.driver = health.DriverIPMI
		case "http":
			return a, "`address` is http: the password would cross the network in clear", "use https://"
		default:
			return a, "`address` has a scheme that is not known", forms
		}
	}
	switch {
	case text == "":
		return a, "`address` is empty", forms
	case strings.Contains(rest, "@"):
		return a, "`address` holds a user or a password", "put them into a [[credential]]"
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, "/?#") {
		return a, "`address` has a path", "only " + forms
	}
	host, port, found, ok := cutPort(rest)
	if !ok {
		return a, "`address` is no host", "an IPv6 address with a port stands in brackets: [fd00::7]:443"
	}
	a.host = strings.ToLower(host)
	if found {
		if !isPort(port) {
			return a, "`address` has a bad port", "a number from 1 to 65535"
		}
		a.port, _ = strconv.Atoi(port)
	}
	if !isHost(host) {
		return a, "`address` has a bad host", "a name or an IP address"
	}
	a.text = rest
	if a.driver == health.DriverRedfish {
		a.text = "https://" + rest
	} else if a.driver == health.DriverIPMI {
		a.text = "ipmi://" + rest
	}
	return a, "", ""
}

// cutPort parts HOST:PORT; an IPv6 address may stand in brackets, and must if a port or a scheme goes with it.
func cutPort(s string) (host, port string, found, ok bool) {
	if strings.HasPrefix(s, "[") {
		host, rest, closed := strings.Cut(s[1:], "]")
		ip, err := netip.ParseAddr(host)
		if !closed || err != nil || !ip.Is6() {
			return "", "", false, false
		}
		port, found := strings.CutPrefix(rest, ":")
		return host, port, found, found || rest == ""
	}
	if strings.Count(s, ":") > 1 {
		ip, err := netip.ParseAddr(s)
		return s, "", false, err == nil && ip.Is6()
	}
	host, port, found = strings.Cut(s, ":")
	return host, port, found, true
}

func isHost(s string) bool {
	if ip, err := netip.ParseAddr(s); err == nil {
		return !ip.IsUnspecified() && !ip.IsMulticast()
	}
	if len(s) > 253 {
		return false
	}
	digits := true
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case '0' <= c && c <= '9':
			case c == '-' || c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
				digits = false
			default:
				return false
			}
		}
	}
	return !digits // 10.0.0.256 and 10.0.7 are misspelt addresses, not names
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && 1 <= n && n <= 65535 && s[0] != '+'
}
