package influx

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dewline/health"
)

// verdict is what an answer says of the points that were sent.
type verdict uint8

const (
	kept     verdict = iota // nothing: send them again later
	refused                 // some of them are at fault
	suspect                 // a refusal in words we do not know
	oversize                // there were too many
)

// failure is why points are not stored.
type failure struct {
	verdict    verdict
	kind       string // for saying a thing once
	text       string // the server's words or the error's; bounded, without control characters
	hint       string // what a person can do about it
	status     int    // 0: there was no answer
	retryAfter time.Duration
}

func (f *failure) Error() string {
	text := f.text
	if f.status != 0 {
		text = strings.TrimSuffix(fmt.Sprintf("%d %s: %s", f.status, http.StatusText(f.status), text), ": ")
	}
	if f.hint != "" {
		text += " (" + f.hint + ")"
	}
	return text
}

// reason is the failure in the words that targets' failures have.
func (f *failure) reason() health.Reason {
	switch f.status {
	case 0:
		return health.ReasonUnreachable
	case http.StatusUnauthorized, http.StatusForbidden:
		return health.ReasonDenied
	case http.StatusNotFound:
		return health.ReasonNotFound
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return health.ReasonBusy
	}
	return health.ReasonServerError
}

// emptyWrite tells whether the server found all in order but that there was nothing to write: how 2.x may answer a probe.
func (f *failure) emptyWrite() bool {
	return f.status == http.StatusBadRequest && strings.Contains(strings.ToLower(f.text), "writing requires points")
}

// judgeAnswer is nil for 204, the only answer by which InfluxDB says that it has stored all. (1.8 answers 200 to a body
// without any point.)
func judgeAnswer(a answer) *failure {
	f := &failure{status: a.status, text: words(a), retryAfter: retryAfter(a.header, time.Now())}
	switch a.status {
	case http.StatusNoContent:
		return nil
	case http.StatusOK:
		if len(a.body) == 0 && a.header.Get("X-Influxdb-Version") != "" {
			return nil
		}
		f.kind, f.hint = "not influxdb", "no InfluxDB answers a write like this; check url"
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		f.kind, f.verdict = "refused", suspect
		if blamesPoints(f.text) {
			f.verdict = refused
		}
	case http.StatusRequestEntityTooLarge:
		f.kind, f.verdict = "too large", oversize
	case http.StatusUnauthorized:
		f.kind, f.hint = "unauthorized", `check token; for 1.8 it is "user:password"`
	case http.StatusForbidden:
		f.kind, f.hint = "forbidden", "the token must be allowed to write to the bucket"
	case http.StatusNotFound:
		f.kind, f.hint = "not found", `check url, organization and bucket ("database/retention policy" for 1.8); dewline creates none`
	case http.StatusTooManyRequests:
		f.kind = "rate limit"
	default:
		f.kind = "status " + strconv.Itoa(a.status)
		if a.status/100 == 3 {
			f.text, f.hint = "redirected to "+fieldText(a.header.Get("Location")), "set url to where the server is"
		}
	}
	return f
}

// pointsAtFault are what 1.8, 2.x and 3.x say when the points are to blame; in lower case.
var pointsAtFault = []string{
	"partial write", "unable to parse", "field type conflict", "retention policy", "max-values-per-tag", "max-series-per-database",
	"max key size exceeded", "time outside range", "parsing failed", "invalid field format", "missing fields", "invalid number",
}

func blamesPoints(text string) bool {
	text = strings.ToLower(text)
	for _, w := range pointsAtFault {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// words are the server's: the message of its JSON, or plain text. Pages of HTML tell nothing.
func words(a answer) string {
	var j struct{ Message, Error string }
	if json.Unmarshal(a.body, &j) == nil {
		if text := cmp.Or(j.Message, j.Error); text != "" {
			return fieldText(text)
		}
	}
	if h := a.header.Get("X-Influxdb-Error"); h != "" {
		return fieldText(h)
	}
	text := strings.TrimSpace(string(a.body))
	if strings.HasPrefix(text, "<") {
		return ""
	}
	return fieldText(text)
}

// retryAfter reads the header in both its forms (RFC 9110 section 10.2.3); 0 if there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, mostRetryAfter)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(0, t.Sub(now)), mostRetryAfter)
	}
	return 0
}

// judgeError sorts what went wrong before there was an answer. The points are kept, always.
func judgeError(err error) *failure {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the address, which is said beside it
	}
	f := &failure{kind: "unreachable", text: fieldText(err.Error())}
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case authority, certificate:
		f.kind, f.hint = "tls", "set ca_file to the authority that signed the server's certificate"
	case record:
		f.kind, f.hint = "tls", "does the server speak http, not https?"
	case isNet && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		f.kind = "timeout"
	}
	return f
}
