package notify_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"dewline/health"
	"dewline/internal/secret"
	"dewline/notify"
)

// post is a real SMTP server over TCP.
type post struct {
	server *smtp.Server
	port   int
	roots  *x509.CertPool

	mu     sync.Mutex
	mails  []string
	to     []string
	logins []string
	refuse error // at the end of DATA
}

func newPost(t *testing.T, implicit, withTLS bool) *post {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate, which is one for 127.0.0.1
	defer web.Close()
	p := &post{roots: x509.NewCertPool()}
	p.roots.AddCert(web.Certificate())
	conf := &tls.Config{Certificates: web.TLS.Certificates}
	p.server = smtp.NewServer(p)
	p.server.Domain = "localhost"
	p.server.ReadTimeout, p.server.WriteTimeout = 30*time.Second, 30*time.Second
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.port = l.Addr().(*net.TCPAddr).Port
	switch {
	case implicit:
		p.server.TLSConfig = conf
		l = tls.NewListener(l, conf)
	case withTLS:
		p.server.TLSConfig = conf
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = p.server.Serve(l) }()
	t.Cleanup(func() { _ = p.server.Close(); <-done })
	return p
}

func (p *post) NewSession(c *smtp.Conn) (smtp.Session, error) { return &postSession{p: p, c: c}, nil }

type postSession struct {
	p *post
	c *smtp.Conn
}

func (s *postSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		s.p.logins = append(s.p.logins, username+":"+password)
		if password != "sesame" {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "not " + password}
		}
		return nil
	}), nil
}
func (s *postSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *postSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.to = append(s.p.to, to)
	return nil
}
func (s *postSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.refuse != nil {
		return s.p.refuse
	}
	s.p.mails = append(s.p.mails, string(b))
	return err
}
func (s *postSession) Reset()        {}
func (s *postSession) Logout() error { return nil }

func (p *post) sender(t *testing.T, change func(*notify.SMTP)) *notify.SMTP {
	t.Helper()
	s := notify.SMTP{
		Host: "127.0.0.1", Port: p.port, TLS: notify.STARTTLS, From: "dewline <dewline@example.org>", To: []string{"oncall@example.org", "Rina <rina@example.org>"},
		Roots: p.roots, Timeout: 20 * time.Second, Now: func() time.Time { return at },
	}
	if change != nil {
		change(&s)
	}
	out, err := notify.NewSMTP(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestMailGoesOverTLSToARealServer(t *testing.T) {
	t.Parallel()
	for name, implicit := range map[string]bool{"STARTTLS": false, "implicit TLS": true} {
		t.Run(name, func(t *testing.T) {
			p := newPost(t, implicit, true)
			s := p.sender(t, func(s *notify.SMTP) {
				s.Username, s.Password = "dewline", secret.New("sesame")
				if implicit {
					s.TLS = notify.Implicit
				}
			})
			evil := event(7, health.Asserted, health.SeverityCritical, "fan\r\nBcc: thief@example.org\r\n\r\nhello \x1b[2J ünï")
			evil.Target = "db-1\r\nBcc: thief@example.org"
			if _, err := s.Send(t.Context(), message(evil)); err != nil {
				t.Fatal(err)
			}
			if len(p.mails) != 1 || len(p.logins) != 1 || strings.Join(p.to, " ") != "oncall@example.org rina@example.org" {
				t.Fatalf("%d mails, logins %v, to %v", len(p.mails), len(p.logins), p.to)
			}
			m, err := mail.ReadMessage(strings.NewReader(p.mails[0]))
			if err != nil {
				t.Fatal(err)
			}
			if id := m.Header.Get("Message-ID"); id != "<"+evil.ID+"@example.org>" {
				t.Errorf("Message-ID %s", id)
			}
			if m.Header.Get("Bcc") != "" || len(m.Header["To"]) != 1 || m.Header.Get("Auto-Submitted") != "auto-generated" {
				t.Errorf("headers %v", m.Header)
			}
			subject, err := (&mime.WordDecoder{}).DecodeHeader(m.Header.Get("Subject"))
			if err != nil || !strings.HasPrefix(subject, "[dewline] critical asserted: db-1��Bcc") {
				t.Errorf("subject %q, %v", subject, err)
			}
			if strings.Contains(p.mails[0], "\x1b") {
				t.Error("an escape sequence arrives")
			}
		})
	}
}

func TestMailIsNotSentInClearOrToAServerThatIsNotVerified(t *testing.T) {
	t.Parallel()
	clear, good := newPost(t, false, false), newPost(t, false, true)
	for name, c := range map[string]struct {
		p      *post
		change func(*notify.SMTP)
		want   string
	}{
		"a server without STARTTLS": {clear, func(s *notify.SMTP) { s.Username, s.Password = "dewline", secret.New("sesame") }, "STARTTLS"},
		"an unknown authority":      {good, func(s *notify.SMTP) { s.Roots = x509.NewCertPool() }, "certificate"},
		"a wrong password":          {good, func(s *notify.SMTP) { s.Username, s.Password = "dewline", secret.New("hunter2") }, "535"},
	} {
		_, err := c.p.sender(t, c.change).Send(t.Context(), message(event(1, health.Asserted, health.SeverityCritical, "x")))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(clear.mails)+len(clear.logins)+len(good.mails) != 0 {
		t.Errorf("sent all the same: %v %v", clear, good.mails)
	}
	if _, err := notify.NewSMTP(notify.SMTP{TLS: notify.NoTLS, Username: "dewline"}); err == nil {
		t.Error("a log-in without TLS is allowed")
	}
}

func TestARefusedMailIsPermanentAndABusyServerIsNot(t *testing.T) {
	t.Parallel()
	p := newPost(t, false, true)
	s := p.sender(t, func(s *notify.SMTP) {
		s.Subject = template.Must(template.New("subject").Parse("{{.Severity}}\r\nBcc: thief@example.org"))
	})
	for code, permanent := range map[int]bool{554: true, 451: false} {
		p.mu.Lock()
		p.refuse = &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: "no"}
		p.mu.Unlock()
		_, err := s.Send(t.Context(), message(event(1, health.Asserted, health.SeverityCritical, "x")))
		f, ok := errors.AsType[*notify.Failure](err)
		if !ok || f.Permanent != permanent {
			t.Errorf("%d: %#v %v", code, f, err)
		}
	}
	p.refuse = nil
	if _, err := s.Send(t.Context(), message(event(1, health.Asserted, health.SeverityCritical, "x"))); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader(p.mails[0]))
	if err != nil || m.Header.Get("Bcc") != "" {
		t.Errorf("a template made a header: %v %v", m, err)
	}
}
