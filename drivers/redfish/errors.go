package redfish

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"dewline/health"
)

// statusError is an HTTP answer that is no success.
type statusError struct {
	code int
	msg  string // MessageId and message of the body's error, cut
	full bool   // of a login: there is no room for another session
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("HTTP %d %s", e.code, http.StatusText(e.code))
	if e.msg != "" {
		s += ": " + e.msg
	}
	return s
}

// reasonForStatus classifies an HTTP status.
func reasonForStatus(code int) health.Reason {
	switch code {
	case http.StatusUnauthorized, http.StatusForbidden:
		return health.ReasonDenied
	case http.StatusNotFound, http.StatusGone:
		return health.ReasonNotFound
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return health.ReasonBusy
	case http.StatusGatewayTimeout, http.StatusRequestTimeout:
		return health.ReasonTimeout
	case http.StatusRequestEntityTooLarge:
		return health.ReasonTooLarge
	}
	switch {
	case code >= 500:
		return health.ReasonServerError
	case code >= 300 && code < 400, code == http.StatusMethodNotAllowed, code == http.StatusNotAcceptable, code == http.StatusNotImplemented:
		return health.ReasonUnsupported
	}
	return health.ReasonServerError
}

// classify gives an error its reason. ctx is the visit's: a visit that was stopped is not the BMC's fault.
func classify(ctx context.Context, op string, err error) *health.Error {
	if e, ok := errors.AsType[*health.Error](err); ok {
		return e
	}
	reason := health.ReasonUnreachable
	var (
		recordErr tls.RecordHeaderError
		alertErr  tls.AlertError
		verifyErr *tls.CertificateVerificationError
		unknownCA x509.UnknownAuthorityError
		wrongName x509.HostnameError
		invalid   x509.CertificateInvalidError
		timeout   interface{ Timeout() bool }
	)
	switch {
	case errors.Is(context.Cause(ctx), context.Canceled) && errors.Is(err, context.Canceled):
		reason = health.ReasonStopped
	case errors.Is(err, errTooLarge):
		reason = health.ReasonTooLarge
	case errors.As(err, &verifyErr), errors.As(err, &recordErr), errors.As(err, &alertErr), errors.As(err, &unknownCA),
		errors.As(err, &wrongName), errors.As(err, &invalid), isTLS(err):
		reason = health.ReasonTLS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		reason = health.ReasonTimeout
	case isMalformedHTTP(err):
		reason = health.ReasonMalformed
	}
	err = short(err)
	if reason == health.ReasonTimeout { // what is below says "context deadline exceeded" or worse
		err = fmt.Errorf("no answer in time: %w", err)
	}
	if verifyErr != nil && len(verifyErr.UnverifiedCertificates) > 0 {
		err = &untrustedError{err, sha256.Sum256(verifyErr.UnverifiedCertificates[0].Raw)}
	}
	return &health.Error{Reason: reason, Op: op, Err: err}
}

// untrustedError is a certificate that could not be verified. It names its fingerprint, so that an operator can compare
// it with what the BMC's own page says, and pin it.
type untrustedError struct {
	err         error
	fingerprint [sha256.Size]byte
}

func (e *untrustedError) Error() string {
	return fmt.Sprintf("%s; the certificate's SHA-256 fingerprint is %x", e.err, e.fingerprint)
}
func (e *untrustedError) Unwrap() error { return e.err }

// isTLS tells handshake errors that have no type of their own.
func isTLS(err error) bool {
	s := err.Error()
	return strings.Contains(s, "tls: ") || strings.Contains(s, "x509: ") || strings.Contains(s, "fingerprint is") ||
		strings.Contains(s, "server gave HTTP response to HTTPS client")
}

func isMalformedHTTP(err error) bool {
	s := err.Error()
	return strings.Contains(s, "malformed HTTP") || strings.Contains(s, "malformed MIME") || strings.Contains(s, "server response headers exceeded") ||
		strings.Contains(s, "invalid byte in chunk length") || strings.Contains(s, "transfer encoding")
}

// short drops net/http's `Get "https://…":` in front, which repeats Op, and keeps the chain.
func short(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	if u := errors.Unwrap(err); u != nil && strings.Contains(err.Error(), `"http`) {
		return u
	}
	return err
}

// fatal tells errors after which no other request of the visit can do better.
func fatal(r health.Reason) bool {
	return r == health.ReasonTLS || r == health.ReasonUnreachable || r == health.ReasonBudget || r == health.ReasonStopped
}
