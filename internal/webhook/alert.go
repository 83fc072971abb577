package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

// maxLabels is the most labels of one alert that are kept.
const maxLabels = 64

// alertManager is what is read of a delivery of Prometheus' Alertmanager, version 4.
// Documentation: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
type alertManager struct {
	Version  string `json:"version"`
	External string `json:"externalURL"`
	Alerts   []struct {
		Status      string            `json:"status"`
		Labels      map[string]string `json:"labels"`
		Annotations struct {
			Summary string `json:"summary"`
		} `json:"annotations"`
		Starts      stamp  `json:"startsAt"`
		Ends        stamp  `json:"endsAt"`
		Fingerprint string `json:"fingerprint"`
	} `json:"alerts"`
}

func readAlertManager(r Request, _ Options) ([]bridge.Fact, error) {
	doc, err := decode[alertManager](r.Body)
	if err != nil {
		return nil, err
	}
	if doc.Version != "4" {
		return nil, wrong("version", "want 4, not %q", clean(doc.Version, 20))
	}
	var out []bridge.Fact
	for _, a := range doc.Alerts {
		if a.Fingerprint == "" {
			return nil, wrong("alerts.fingerprint", "is missing").WithHint("Alertmanager sends it from version 0.19 on")
		}
		f := bridge.Fact{Kind: bridge.KindAlert, Type: a.Status, Source: doc.External, At: a.Starts.Time}
		alert := bridge.Alert{Name: clean(a.Labels["alertname"], 128), Key: clean(a.Fingerprint, 128), Labels: labels(a.Labels)}
		switch a.Status {
		case "firing":
			alert.Firing = true
		case "resolved":
			f.At = a.Ends.Time
		default:
			return nil, wrong("alerts.status", "%q is neither firing nor resolved", clean(a.Status, 40))
		}
		f.Subject, f.Alert = first(a.Annotations.Summary, alert.Name, alert.Key), &alert
		out = append(out, f)
	}
	return out, nil
}

// labels are the first maxLabels of m by name, as they can be shown; nil when there are none.
func labels(m map[string]string) map[string]string {
	out := map[string]string{}
	for _, k := range sortedKeys(m) {
		if len(out) < maxLabels {
			out[clean(k, 128)] = clean(m[k], 256)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// pagerDuty is what is read of a delivery of PagerDuty, version 3. Documentation:
// https://developer.pagerduty.com/docs/webhooks-overview.
type pagerDuty struct {
	Event *struct {
		ID       string    `json:"id"`
		Type     string    `json:"event_type"`
		Resource string    `json:"resource_type"`
		At       stamp     `json:"occurred_at"`
		Agent    pagerItem `json:"agent"`
		Data     struct {
			ID       string     `json:"id"`
			HTML     string     `json:"html_url"`
			Title    string     `json:"title"`
			Status   string     `json:"status"`
			Urgency  string     `json:"urgency"`
			Service  pagerItem  `json:"service"`
			Priority *pagerItem `json:"priority"`
		} `json:"data"`
	} `json:"event"`
}

type pagerItem struct {
	Summary string `json:"summary"`
}

// readPagerDuty reads an incident as an alert that fires until it is resolved. Anything else
// but a ping is an event.
func readPagerDuty(r Request, _ Options) ([]bridge.Fact, error) {
	doc, err := decode[pagerDuty](r.Body)
	if err != nil {
		return nil, err
	}
	e := doc.Event
	if e == nil || e.Type == "" {
		return nil, wrong("event.event_type", "is missing")
	}
	if strings.HasPrefix(e.Type, "pagey.") {
		return nil, nil
	}
	d := e.Data
	f := bridge.Fact{
		Kind: bridge.KindEvent, Type: e.Type, Source: d.HTML, Actor: e.Agent.Summary, At: e.At.Time,
		Subject: first(d.Title, d.ID, e.Type),
	}
	if e.Resource != "incident" || d.Status == "" {
		return []bridge.Fact{f}, nil // a note, a responder, a service
	}
	if d.ID == "" {
		return nil, wrong("event.data.id", "is missing")
	}
	about := map[string]string{}
	for k, v := range map[string]string{"service": d.Service.Summary, "urgency": d.Urgency} {
		if v != "" {
			about[k] = v
		}
	}
	if d.Priority != nil && d.Priority.Summary != "" {
		about["priority"] = d.Priority.Summary
	}
	f.Kind = bridge.KindAlert
	f.Alert = &bridge.Alert{Name: clean(first(d.Service.Summary, d.Title), 128), Key: clean(d.ID, 128), Firing: d.Status != "resolved", Labels: labels(about)}
	return []bridge.Fact{f}, nil
}

// pagerDutyKey is the id of the event, the same when it is repeated.
func pagerDutyKey(r Request) string {
	doc, err := decode[pagerDuty](r.Body)
	if err != nil || doc.Event == nil {
		return ""
	}
	return doc.Event.ID
}
