package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"text/template"
	"time"

	gomail "github.com/wneessen/go-mail"

	"dewline/health"
	"dewline/internal/secret"
)

// TLSMode is how a mail server is spoken to.
type TLSMode string

const (
	STARTTLS TLSMode = "starttls" // and nothing else: without it no mail is sent
	Implicit TLSMode = "implicit"
	NoTLS    TLSMode = "none" // in clear; no log-in then
)

// SMTP sends mail.
type SMTP struct {
	Host     string
	Port     int
	TLS      TLSMode
	Username string
	Password secret.Secret
	From     string
	To       []string
	Roots    *x509.CertPool
	Timeout  time.Duration
	Subject  *template.Template
	Body     *template.Template
	Now      func() time.Time
}

// NewSMTP checks what it is given.
func NewSMTP(s SMTP) (*SMTP, error) {
	if s.Username != "" && s.TLS == NoTLS {
		return nil, errors.New("a password is sent over TLS only")
	}
	return &s, nil
}

func (s *SMTP) Send(ctx context.Context, m *health.Message) (string, error) {
	msg, err := s.message(m)
	if err != nil {
		return "", &Failure{Err: err, Permanent: true}
	}
	opts := []gomail.Option{
		gomail.WithTimeout(s.Timeout), gomail.WithPort(s.Port), gomail.WithTLSConfig(&tls.Config{ServerName: s.Host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}),
	}
	switch s.TLS {
	case Implicit:
		opts = append(opts, gomail.WithSSL())
	case NoTLS:
		opts = append(opts, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		opts = append(opts, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.Username != "" {
		opts = append(opts, gomail.WithSMTPAuth(gomail.SMTPAuthPlain), gomail.WithUsername(s.Username), gomail.WithPassword(s.Password.Reveal()))
	}
	client, err := gomail.NewClient(s.Host, opts...)
	if err != nil {
		return "", &Failure{Err: fmt.Errorf("set up the mail client: %w", s.hide(err))}
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		f := &Failure{Err: fmt.Errorf("mail by %s: %w", net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), s.hide(err))}
		if se, ok := errors.AsType[*gomail.SendError](err); ok {
			switch se.Reason {
			case gomail.ErrSMTPDataClose, gomail.ErrSMTPData: // it saw the message; a refused address is the configuration's
				f.Permanent = !se.IsTemp() && se.ErrorCode() >= 500
			default:
			}
		}
		return "", f
	}
	return "accepted for " + strings.Join(s.To, ", "), nil
}

// hide takes the password out of an error: a server may echo what it was sent.
func (s *SMTP) hide(err error) error {
	text := oneLine(err.Error())
	if p := s.Password; !p.IsZero() && strings.Contains(text, p.Reveal()) {
		return errors.New(strings.ReplaceAll(text, p.Reveal(), "***"))
	}
	return errors.New(text)
}

// message makes the mail. Nothing of a BMC gets into a header but through oneLine, which leaves no line break, and the encoder.
func (s *SMTP) message(m *health.Message) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.From(s.From); err != nil {
		return nil, fmt.Errorf("`from`: %w", err)
	}
	if err := msg.To(s.To...); err != nil {
		return nil, fmt.Errorf("`to`: %w", err)
	}
	domain := "dewline.invalid"
	if a, err := mail.ParseAddress(s.From); err == nil {
		domain = a.Address[strings.LastIndexByte(a.Address, '@')+1:]
	}
	id := m.ID
	if strings.ContainsFunc(id, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && r != '-' }) {
		id = health.MessageID(m.Receiver, append([]health.MessageEvent{{ID: m.ID}}, m.Events...))
	}
	msg.SetMessageIDWithValue(id + "@" + domain)
	msg.SetDateWithValue(s.Now())
	subject := oneLine(strings.TrimSpace(render(s.Subject, m, Subject)))
	if r := []rune(subject); len(r) > 200 {
		subject = string(r[:199]) + "…"
	}
	msg.Subject(subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no vacation answers
	msg.SetGenHeader("X-Dewline-Severity", m.Severity.String())
	if m.Group != "" {
		msg.SetGenHeader("X-Dewline-Group", mime.QEncoding.Encode("utf-8", oneLine(m.Group)))
	}
	msg.SetBodyString(gomail.TypeTextPlain, manyLines(render(s.Body, m, Text)))
	return msg, nil
}
