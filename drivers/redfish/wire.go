package redfish

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// wire logs each exchange at debug level: what was asked, and how it ended. Headers and bodies are left out, for those of a
// login hold the password and the token; so is the name of a session, which some services make of the token.
type wire struct {
	next http.RoundTripper
	log  *slog.Logger
	now  func() time.Time
}

func (t wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if !t.log.Enabled(r.Context(), slog.LevelDebug) {
		return t.next.RoundTrip(r)
	}
	began := t.now()
	resp, err := t.next.RoundTrip(r)
	attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", wirePath(r)), slog.Duration("took", t.now().Sub(began))}
	if err != nil {
		attrs = append(attrs, slog.String("error", cut(err.Error(), maxWireText)))
	} else {
		attrs = append(attrs, slog.Int("status", resp.StatusCode), slog.Int64("bytes", resp.ContentLength))
	}
	t.log.LogAttrs(r.Context(), slog.LevelDebug, "redfish", attrs...)
	return resp, err
}

const maxWireText = 300

// wirePath is the path and query, which a service may have made up, without the name of a session.
func wirePath(r *http.Request) string {
	path := r.URL.RequestURI()
	if before, after, ok := strings.Cut(path, "/Sessions/"); ok && after != "" {
		path = before + "/Sessions/***"
	} else if r.Method == http.MethodDelete { // nothing else is ever deleted
		path = path[:strings.LastIndexByte(path, '/')+1] + "***"
	}
	return cut(path, maxWireText)
}
