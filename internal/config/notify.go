package config

import (
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"

	"dewline/health"
	"dewline/internal/secret"
)

// Notify is whom to tell what.
type Notify struct {
	Alertmanagers []Alertmanager
	Webhooks      []Webhook
	Mails         []Mail
	Heartbeats    []Heartbeat
}

// Route chooses what a receiver is told of; its name is its own among all receivers, for ever: the cursor hangs on it.
type Route struct {
	Name  string
	Match health.Matcher
}

// Pace bounds how often a receiver is told.
type Pace struct {
	Wait     time.Duration
	Interval time.Duration
	PerHour  int // 0: no limit
}

// Alertmanager is one of Prometheus's.
type Alertmanager struct {
	Route
	URL       secret.Ref
	Token     secret.Ref
	Resend    time.Duration
	Heartbeat bool
	Timeout   time.Duration
	CAFile    string
}

// Webhook is a URL that takes messages.
type Webhook struct {
	Route
	Pace
	URL     secret.Ref
	Secret  secret.Ref
	Token   secret.Ref
	Body    *template.Template // nil: JSON
	Timeout time.Duration
	CAFile  string

	body string // compared on a reload
}

// BodyText is the template of the body as it was written.
func (w *Webhook) BodyText() string { return w.body }

// Mail is a mail server and whom to write to.
type Mail struct {
	Route
	Pace
	Host     string
	Port     int
	TLS      string // starttls, implicit, none
	Username string
	Password secret.Ref
	From     string
	To       []string
	Subject  *template.Template
	Body     *template.Template
	Timeout  time.Duration
	CAFile   string

	subject, body string
}

// Texts is the templates as they were written.
func (m *Mail) Texts() (subject, body string) { return m.subject, m.body }

// Heartbeat is a URL that is asked while dewline does its work.
type Heartbeat struct {
	Name    string
	URL     secret.Ref
	Method  string
	Every   time.Duration
	Timeout time.Duration
	CAFile  string
}

func defaultRoute() Route { return Route{Match: health.Matcher{AtLeast: health.SeverityWarning}} }
func defaultPace() Pace   { return Pace{Wait: 10 * time.Second, Interval: 5 * time.Minute, PerHour: 60} }

const notifyTimeout = 15 * time.Second

func defaultAlertmanager() Alertmanager {
	return Alertmanager{Route: defaultRoute(), Resend: time.Minute, Heartbeat: true, Timeout: notifyTimeout}
}

func defaultWebhook() Webhook {
	return Webhook{Route: defaultRoute(), Pace: defaultPace(), Timeout: notifyTimeout}
}

func defaultMail() Mail {
	return Mail{Route: defaultRoute(), Pace: defaultPace(), TLS: "starttls", Timeout: 30 * time.Second}
}

func defaultHeartbeat() Heartbeat {
	return Heartbeat{Method: "GET", Every: time.Minute, Timeout: notifyTimeout}
}

// notify reads the receivers.
func (c *checker) notify(n *Notify, raw *rawNotify) {
	names := map[string]string{}
	name := func(path, header, text string) string {
		if !c.required(path+".name", header) || !c.name(path+".name", "`name`", text) {
			return ""
		}
		if first, twice := names[text]; twice {
			c.twice(path+".name", first+".name", "receiver "+quote(text))
			return ""
		}
		names[text] = path
		return text
	}
	for i := range raw.Alertmanager {
		r, path, header := &raw.Alertmanager[i], fmt.Sprintf("notify.alertmanager[%d]", i), "[[notify.alertmanager]]"
		a := defaultAlertmanager()
		a.Name, a.URL, a.Token = name(path, header, r.Name), c.notifyURL(path, header, r.URL), c.notifySecret(path+".token", r.Token)
		c.route(path, &a.Match, r.Severity, r.Sites, r.Racks, r.Labels)
		c.timely(path+".resend", r.Resend, 10*time.Second, 3*time.Minute, &a.Resend)
		if c.has(path + ".heartbeat") {
			a.Heartbeat = r.Heartbeat
		}
		c.timely(path+".timeout", r.Timeout, time.Second, time.Minute, &a.Timeout)
		a.CAFile = c.caFile(path+".ca_file", r.CAFile)
		n.Alertmanagers = append(n.Alertmanagers, a)
	}
	for i := range raw.Webhook {
		r, path, header := &raw.Webhook[i], fmt.Sprintf("notify.webhook[%d]", i), "[[notify.webhook]]"
		w := defaultWebhook()
		w.Name, w.URL = name(path, header, r.Name), c.notifyURL(path, header, r.URL)
		w.Secret, w.Token = c.notifySecret(path+".secret", r.Secret), c.notifySecret(path+".token", r.Token)
		w.Body, w.body = c.template(path+".body", r.Body), r.Body
		c.route(path, &w.Match, r.Severity, r.Sites, r.Racks, r.Labels)
		c.pace(path, &w.Pace, r.Wait, r.Interval, r.MaxPerHour)
		c.timely(path+".timeout", r.Timeout, time.Second, time.Minute, &w.Timeout)
		w.CAFile = c.caFile(path+".ca_file", r.CAFile)
		n.Webhooks = append(n.Webhooks, w)
	}
	for i := range raw.Mail {
		r, path, header := &raw.Mail[i], fmt.Sprintf("notify.mail[%d]", i), "[[notify.mail]]"
		m := defaultMail()
		m.Name = name(path, header, r.Name)
		c.mail(path, header, &m, r)
		n.Mails = append(n.Mails, m)
	}
	for i := range raw.Heartbeat {
		r, path, header := &raw.Heartbeat[i], fmt.Sprintf("notify.heartbeat[%d]", i), "[[notify.heartbeat]]"
		h := defaultHeartbeat()
		h.Name, h.URL = name(path, header, r.Name), c.notifyURL(path, header, r.URL)
		if c.has(path+".method") && c.oneOf(path+".method", r.Method, "GET", "POST", "HEAD") {
			h.Method = r.Method
		}
		c.timely(path+".every", r.Every, 10*time.Second, 24*time.Hour, &h.Every)
		c.timely(path+".timeout", r.Timeout, time.Second, time.Minute, &h.Timeout)
		h.CAFile = c.caFile(path+".ca_file", r.CAFile)
		n.Heartbeats = append(n.Heartbeats, h)
	}
}

func (c *checker) timely(path, text string, least, most time.Duration, to *time.Duration) {
	if d, ok := c.duration(path, text, least, most); ok {
		*to = d
	}
}

func (c *checker) route(path string, m *health.Matcher, severity string, sites, racks, labels []string) {
	if c.has(path+".severity") && c.oneOf(path+".severity", severity, "info", "warning", "critical") {
		_ = m.AtLeast.UnmarshalText([]byte(severity)) // one of those
	}
	m.Sites, m.Racks = append(m.Sites, sites...), append(m.Racks, racks...)
	for i, l := range labels {
		at := fmt.Sprintf("%s.labels[%d]", path, i)
		key, value, ok := strings.Cut(l, "=")
		switch {
		case !c.has(at):
		case !ok || !labelName.MatchString(key):
			c.fault(at, quote(l)+" is no label", `for example labels = ["owner=diskominfo"]`)
		default:
			if m.Labels == nil {
				m.Labels = map[string]string{}
			}
			if _, twice := m.Labels[key]; twice {
				c.fault(at, "label "+quote(key)+" is named twice: a target has one value of it", "")
			}
			m.Labels[key] = value
		}
	}
}

func (c *checker) pace(path string, p *Pace, wait, interval string, perHour int) {
	c.timely(path+".wait", wait, time.Second, time.Hour, &p.Wait)
	c.timely(path+".interval", interval, time.Second, 24*time.Hour, &p.Interval)
	if c.has(path + ".max_per_hour") {
		c.between(path+".max_per_hour", perHour, 0, 3600)
		p.PerHour = perHour
	}
}

// notifyURL reads the URL of a receiver: in clear, or a reference, since some services have their key in it.
func (c *checker) notifyURL(path, header, text string) secret.Ref {
	path += ".url"
	if !c.required(path, header) {
		return secret.Ref{}
	}
	const example = `for example "https://hooks.example.org/dewline", or "file:/etc/dewline/hook.url" for one that holds a key`
	ref, err := secret.ParseRef(text)
	switch {
	case err != nil:
		c.fault(path, "`url` is no reference: "+err.Error(), "")
	case ref.IsZero():
		c.fault(path, "`url` is empty", example)
	case !ref.Inline():
		ref = ref.In(c.base)
		c.secrets = append(c.secrets, placedSecret{ref, c.src.fault(c.at(path), path, "", "")})
	default:
		if message := urlProblem(text); message != "" {
			c.fault(path, message, example)
		} else if u, err := url.Parse(text); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			c.warn(path, "`url` is http:// to another machine: messages cross the network in clear", "use https://")
		}
	}
	return ref
}

// urlProblem says what is wrong with a URL, "" if nothing is. It never repeats it.
func urlProblem(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "":
		return "`url` is no URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "`url` must begin with http:// or https://"
	case u.User != nil:
		return "`url` holds a user or a password"
	case !isHost(u.Hostname()):
		return "`url` has a bad host"
	case u.Port() != "" && !isPort(u.Port()):
		return "`url` has a bad port"
	}
	return ""
}

func (c *checker) notifySecret(path, text string) secret.Ref {
	if !c.has(path) || text == "" {
		return secret.Ref{}
	}
	return c.secret(path, text)
}

var templateLine = regexp.MustCompile(`^template: [^:]*:(\d+)(?::(\d+))?: `)

// template reads a text/template over health.Message, and tries it on a message.
func (c *checker) template(path, text string) *template.Template {
	if !c.has(path) || text == "" {
		return nil
	}
	name := path[strings.LastIndexByte(path, '.')+1:]
	const hint = "what a template can use stands in docs/NOTIFICATIONS.md"
	bad := func(err error) *template.Template {
		message := err.Error()
		where := ""
		if m := templateLine.FindStringSubmatch(message); m != nil {
			where, message = " in its line "+m[1], strings.TrimPrefix(message, m[0])
		}
		c.fault(path, fmt.Sprintf("%s is no template%s: %s", quote(name), where, message), hint)
		return nil
	}
	t, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		return bad(err)
	}
	if err := t.Execute(io.Discard, SampleMessage()); err != nil {
		return bad(err)
	}
	return t
}

// SampleMessage is what templates are tried on.
func SampleMessage() *health.Message {
	at := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)
	event := func(n int64, state health.Transition, sev health.Severity) health.MessageEvent {
		return health.MessageEvent{
			ID: fmt.Sprintf("5b1e0c%d", n), N: n, Target: "db-1", Site: "bontang", Rack: "A1", Labels: map[string]string{"owner": "diskominfo"},
			Component: "fan/1", Class: health.ClassFan, Kind: health.KindFailed, Severity: sev, State: state, Message: "fan 1 has failed", Rule: "state",
			At: at, Fault: "5b1e0c1", Opened: at,
		}
	}
	return &health.Message{
		Version: 1, ID: "5b1e0c", Receiver: "sample", Group: "rack bontang/A1", Site: "bontang", Rack: "A1", Severity: health.SeverityCritical,
		Text: "fan 1 has failed", Events: []health.MessageEvent{event(1, health.Asserted, health.SeverityCritical), event(2, health.Cleared, health.SeverityOK)},
	}
}

func (c *checker) mail(path, header string, m *Mail, r *rawMail) {
	if c.required(path+".server", header) {
		host, port, err := net.SplitHostPort(r.Server)
		n, nerr := strconv.Atoi(port)
		if err != nil || nerr != nil || !isHost(host) || !isPort(port) {
			c.fault(path+".server", "`server` is no HOST:PORT", `for example "mail.example.org:587" (STARTTLS), or port 465 with tls = "implicit"`)
		}
		m.Host, m.Port = host, n
	}
	if c.has(path+".tls") && c.oneOf(path+".tls", r.TLS, "starttls", "implicit", "none") {
		m.TLS = r.TLS
	}
	if c.has(path+".username") && r.Username != "" && c.name(path+".username", "`username`", r.Username) {
		m.Username = r.Username
		switch {
		case m.TLS == "none":
			c.fault(path+".username", "a log-in without TLS would send the password in clear", `use tls = "starttls" or "implicit"`)
		case !c.has(path+".password") || r.Password == "":
			c.fault(path+".username", "`username` has no `password`", "")
		}
	}
	m.Password = c.notifySecret(path+".password", r.Password)
	if m.TLS == "none" && m.Host != "" && !isLoopback(m.Host) {
		c.warn(path+".tls", "mail crosses the network in clear", `use tls = "starttls"`)
	}
	if c.required(path+".from", header) {
		m.From = c.address(path+".from", r.From)
	}
	if c.required(path+".to", header) {
		if len(r.To) == 0 {
			c.fault(path+".to", "`to` is empty", `for example ["oncall@example.org"]`)
		}
		for i, to := range r.To {
			if at := fmt.Sprintf("%s.to[%d]", path, i); c.has(at) {
				m.To = append(m.To, c.address(at, to))
			}
		}
	}
	m.Subject, m.subject = c.template(path+".subject", r.Subject), r.Subject
	m.Body, m.body = c.template(path+".body", r.Body), r.Body
	c.route(path, &m.Match, r.Severity, r.Sites, r.Racks, r.Labels)
	c.pace(path, &m.Pace, r.Wait, r.Interval, r.MaxPerHour)
	c.timely(path+".timeout", r.Timeout, time.Second, 5*time.Minute, &m.Timeout)
	m.CAFile = c.caFile(path+".ca_file", r.CAFile)
}

func (c *checker) address(path, text string) string {
	if a, err := mail.ParseAddress(text); err != nil || strings.ContainsAny(text, "\r\n") || !strings.Contains(a.Address, "@") {
		c.fault(path, quote(text)+" is no mail address", `for example "dewline@example.org"`)
	}
	return text
}
