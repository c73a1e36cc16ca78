package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"dewline/health"
)

// Alertmanager speaks Alertmanager's API v2: POST /api/v2/alerts with the state of each alert, again and again.
type Alertmanager struct {
	HTTP
	Resend    time.Duration
	Heartbeat bool // an alert DewlineHeartbeat that fires while dewline does its work
	http      *http.Client
}

// NewAlertmanager makes one; its URL is that of Alertmanager itself, without /api.
func NewAlertmanager(h HTTP, resend time.Duration, heartbeat bool) *Alertmanager {
	return &Alertmanager{HTTP: h, Resend: resend, Heartbeat: heartbeat, http: h.client()}
}

// alert is one of the API's postable alerts.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
	StartsAt    time.Time         `json:"startsAt,omitzero"`
	EndsAt      time.Time         `json:"endsAt,omitzero"`
}

const (
	// mostAlerts of one request.
	mostAlerts = 500
	// momentary events fire for so long: they have no end of their own.
	momentary = 15 * time.Minute
)

// hold is how long an alert lives without being sent again: three of four sendings may be lost.
func (a *Alertmanager) hold() time.Duration { return 4 * a.Resend }

func labelsOf(e *health.MessageEvent, sev health.Severity) map[string]string {
	l := map[string]string{}
	set := func(name, value string) {
		if value != "" { // Alertmanager takes an empty label for none
			l[name] = oneLine(value)
		}
	}
	for name, value := range e.Labels {
		set(name, value)
	}
	set("alertname", string(e.Kind))
	set("target", string(e.Target))
	set("site", e.Site)
	set("rack", e.Rack)
	set("component", string(e.Component))
	set("class", string(e.Class))
	set("severity", sev.String())
	set("origin", string(e.Origin))
	if e.Fault != "" {
		set("fault", e.Fault)
	} else {
		set("event", e.ID)
	}
	return l
}

func (a *Alertmanager) firing(e *health.MessageEvent, now time.Time) alert {
	x := alert{
		Labels:      labelsOf(e, e.Severity),
		Annotations: map[string]string{"summary": oneLine(fmt.Sprintf("%s on %s: %s", e.Kind, e.Target, e.Message)), "description": oneLine(e.Message), "event_id": e.ID, "rule": e.Rule},
		StartsAt:    e.Opened, EndsAt: now.Add(a.hold()),
	}
	if x.StartsAt.IsZero() {
		x.StartsAt = e.At
	}
	if x.StartsAt.After(now) { // by the BMC's visit a moment ahead of us
		x.StartsAt = now
	}
	return x
}

// Send tells of changes. One alert has one state in a request: what changes twice is told in two.
func (a *Alertmanager) Send(ctx context.Context, m *health.Message) (string, error) {
	now := a.Now()
	var all []alert
	said := ""
	inIt := map[string]bool{}
	flush := func() (err error) {
		for len(all) > 0 && err == nil {
			n := min(len(all), mostAlerts)
			if said, err = a.post(ctx, all[:n]); err == nil {
				all = all[n:]
			}
		}
		clear(inIt)
		return err
	}
	for i := range m.Events {
		e := &m.Events[i]
		key := e.Fault
		if key == "" {
			key = e.ID
		}
		if inIt[key] {
			if err := flush(); err != nil {
				return "", err
			}
		}
		inIt[key] = true
		switch {
		case m.Test:
			x := a.firing(e, now)
			x.Labels["alertname"], x.Labels["test"] = "DewlineTest", "true"
			x.EndsAt = now.Add(momentary)
			all = append(all, x)
		case ends(e.State):
			for _, sev := range [...]health.Severity{health.SeverityInfo, health.SeverityWarning, health.SeverityCritical, health.SeverityUnknown} {
				x := a.firing(e, now)
				x.Labels["severity"], x.EndsAt = sev.String(), now
				if sev == e.Severity || sev >= health.SeverityWarning {
					all = append(all, x)
				}
			}
		case e.State == health.Momentary:
			x := a.firing(e, now)
			x.EndsAt = now.Add(momentary)
			all = append(all, x)
		default:
			if e.State != health.Asserted { // the severity is a label: the alert of before ends
				for _, sev := range [...]health.Severity{health.SeverityWarning, health.SeverityCritical} {
					if sev != e.Severity {
						x := a.firing(e, now)
						x.Labels["severity"], x.EndsAt = sev.String(), now
						all = append(all, x)
					}
				}
			}
			all = append(all, a.firing(e, now))
		}
	}
	return said, flush()
}

// Refresh tells what is open, and that dewline lives.
func (a *Alertmanager) Refresh(ctx context.Context, open []health.MessageEvent, alive bool, chain *health.Chain) error {
	now := a.Now()
	var all []alert
	for i := range open {
		all = append(all, a.firing(&open[i], now))
	}
	if a.Heartbeat && alive {
		x := alert{
			Labels:      map[string]string{"alertname": "DewlineHeartbeat", "severity": "none"},
			Annotations: map[string]string{"summary": "dewline reads, records and notifies; when this ends, it does not"},
			EndsAt:      now.Add(a.hold()),
		}
		if chain != nil {
			x.Annotations["chain_head"], x.Annotations["chain_length"] = chain.Head, strconv.FormatInt(chain.Length, 10)
		}
		all = append(all, x)
	}
	for len(all) > 0 {
		n := min(len(all), mostAlerts)
		if _, err := a.post(ctx, all[:n]); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

func (a *Alertmanager) post(ctx context.Context, alerts []alert) (string, error) {
	body, err := json.Marshal(alerts)
	if err != nil {
		return "", &Failure{Err: fmt.Errorf("encode alerts: %w", err), Permanent: true}
	}
	return a.do(ctx, a.http, http.MethodPost, "/api/v2/alerts", body, http.Header{"Content-Type": {"application/json"}})
}
