package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"text/template"

	"dewline/health"
	"dewline/internal/secret"
)

// Webhook posts messages as JSON, or as what Body makes of them.
type Webhook struct {
	HTTP
	Secret secret.Secret // signs; zero: nothing is signed
	Body   *template.Template
	http   *http.Client
}

// NewWebhook makes one.
func NewWebhook(h HTTP, key secret.Secret, body *template.Template) *Webhook {
	return &Webhook{HTTP: h, Secret: key, Body: body, http: h.client()}
}

// Sign is the signature of a body sent at a time: the hex HMAC-SHA256 of the time in seconds, a dot, and the body.
func Sign(key secret.Secret, unix int64, body []byte) string {
	h := hmac.New(sha256.New, []byte(key.Reveal()))
	h.Write(strconv.AppendInt(nil, unix, 10))
	h.Write([]byte{'.'})
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

func (w *Webhook) Send(ctx context.Context, m *health.Message) (string, error) {
	header := http.Header{}
	var body []byte
	if w.Body != nil {
		body = []byte(render(w.Body, m, Text))
		header.Set("Content-Type", "text/plain; charset=utf-8")
		if json.Valid(body) {
			header.Set("Content-Type", "application/json")
		}
	} else {
		var err error
		if body, err = json.Marshal(m); err != nil {
			return "", &Failure{Err: fmt.Errorf("encode message: %w", err), Permanent: true}
		}
		header.Set("Content-Type", "application/json")
	}
	header.Set("Idempotency-Key", m.ID)
	if !w.Secret.IsZero() {
		at := w.Now().Unix()
		header.Set("X-Dewline-Timestamp", strconv.FormatInt(at, 10))
		header.Set("X-Dewline-Signature", "sha256="+Sign(w.Secret, at, body))
	}
	return w.do(ctx, w.http, http.MethodPost, "", body, header)
}

// Ping asks a URL, to show that dewline lives.
type Ping struct {
	HTTP
	Method string
	http   *http.Client
}

// NewPing makes one.
func NewPing(h HTTP, method string) *Ping { return &Ping{HTTP: h, Method: method, http: h.client()} }

// Ping asks once. A POST has a body: the chain of events as it stands, or that there is none yet.
func (p *Ping) Ping(ctx context.Context, chain *health.Chain) (string, error) {
	if p.Method != http.MethodPost {
		return p.do(ctx, p.http, p.Method, "", nil, http.Header{})
	}
	body, err := json.Marshal(struct {
		Version int           `json:"version"`
		Chain   *health.Chain `json:"chain,omitempty"`
	}{1, chain})
	if err != nil {
		return "", fmt.Errorf("encode heartbeat: %w", err)
	}
	return p.do(ctx, p.http, p.Method, "", body, http.Header{"Content-Type": {"application/json"}})
}
