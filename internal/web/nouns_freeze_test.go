package web_test

import (
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

func TestFreezes(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	viewer, releaser := p.secret[identity.Viewer], p.secret[identity.Releaser]
	p.ship("1.0.0", true)
	set := func(token, body string) call {
		return call{method: "POST", path: "/api/v1/freezes", token: token, body: body}
	}
	f := want[api.Freeze](t, p.site, set(releaser, `{"application":"shop","environment":"dev","reason":"holidays","for":"2h"}`))
	if f.ID != 1 || f.By != "a-releaser" || strings.Join(f.Environments, " ") != "dev" || f.Until.Sub(f.At) != 2*time.Hour || f.Lifted != nil {
		t.Errorf("set: %+v", f)
	}
	whole := want[api.Freeze](t, p.site, set(p.secret[identity.Admin], `{"application":"shop","reason":"audit"}`))
	if strings.Join(whole.Environments, " ") != "*" || whole.Until.Sub(whole.At) != 24*time.Hour {
		t.Errorf("set: %+v", whole)
	}
	p.ship("1.1.0", true)
	dev := want[api.List[api.Promotion]](t, p.site, call{path: "/api/v1/promotions?application=shop&environment=dev", token: viewer})
	if got := dev.Items[0]; got.Version != "1.1.0" || got.State != cd.Queued || !strings.Contains(got.Reason, "by a-admin: audit") {
		t.Errorf("dev: %+v", got)
	}
	status := want[api.List[api.Status]](t, p.site, call{path: "/api/v1/status?application=shop", token: viewer})
	if got := status.Items[1]; got.Environment != "production" || !strings.Contains(got.Frozen, "by a-admin: audit") {
		t.Errorf("status: %+v", got)
	}
	lift := func(path, token string) call {
		return call{method: "DELETE", path: "/api/v1/freezes/" + path, token: token}
	}
	refuse(t, p.site, lift("2", p.secret[identity.Approver]), fault.Forbidden, "")
	if got := want[api.Freeze](t, p.site, lift("2?reason=over", releaser)); got.LiftedBy != "a-releaser" || got.LiftReason != "over" || got.Lifted == nil {
		t.Errorf("lifted: %+v", got)
	}
	refuse(t, p.site, lift("2", releaser), fault.Conflict, "")
	refuse(t, p.site, lift("3", releaser), fault.NotFound, "")
	refuse(t, p.site, lift("x", releaser), fault.NotFound, "")
	if got := want[api.List[api.Freeze]](t, p.site, call{path: "/api/v1/freezes", token: viewer}); len(got.Items) != 1 || got.Items[0].ID != 1 {
		t.Errorf("holding: %+v", got)
	}
	if got := want[api.List[api.Freeze]](t, p.site, call{path: "/api/v1/freezes?all=true&limit=1", token: viewer}); len(got.Items) != 1 || got.Items[0].ID != 2 || got.Next != "2" {
		t.Errorf("all: %+v", got)
	}
	if got := want[api.List[api.Freeze]](t, p.site, call{path: "/api/v1/freezes?all=true&application=till", token: viewer}); len(got.Items) != 0 {
		t.Errorf("of another application: %+v", got)
	}
	want[api.Freeze](t, p.site, lift("1", releaser))
	p.settle()
	if got := want[api.List[api.Promotion]](t, p.site, call{path: "/api/v1/promotions?environment=dev&application=shop", token: viewer}); got.Items[0].State != cd.Done {
		t.Errorf("after the freeze: %+v", got.Items[0])
	}
	for field, body := range map[string]string{
		"reason": `{"application":"shop"}`, "application": `{"reason":"x"}`, "for": `{"application":"shop","reason":"x","for":"soon"}`,
	} {
		refuse(t, p.site, set(releaser, body), fault.Invalid, field)
	}
	refuse(t, p.site, set(releaser, `{"application":"shop","reason":"x","for":"1000h"}`), fault.Invalid, "for")
	refuse(t, p.site, set(releaser, `{"application":"shop","reason":"x","environment":"lab"}`), fault.NotFound, "")
	refuse(t, p.site, set(viewer, `{"application":"shop","reason":"x"}`), fault.Forbidden, "")
	refuse(t, p.site, call{path: "/api/v1/freezes?all=perhaps", token: viewer}, fault.Invalid, "all")
}

// Alertmanager's delivery freezes, its end lifts, and the trigger shows by which expression.
func TestFreezeByAnAlert(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(strings.Replace(crossings, "  - name: byhand\n",
		"  - {name: alarm, on: webhook, receiver: alerts, preset: alertmanager, freeze: [dev], for: 3h}\n  - name: byhand\n", 1))
	secret := p.receiver(t, "alerts", "alertmanager")
	viewer := p.secret[identity.Viewer]
	body := func(state, starts, ends string) string {
		return `{"version":"4","status":"` + state + `","alerts":[{"status":"` + state + `","labels":{"alertname":"HighErrors"},"fingerprint":"f1",` +
			`"startsAt":"` + starts + `","endsAt":"` + ends + `"}]}`
	}
	post := func(state, ends string) {
		p.send(t, hook("alerts", body(state, p.now().Add(-time.Minute).Format(time.RFC3339), ends), "Authorization", "Bearer "+secret))
		p.settle()
	}
	post("firing", "0001-01-01T00:00:00Z")
	p.ship("1.0.0", true)
	list := want[api.List[api.Freeze]](t, p.site, call{path: "/api/v1/freezes", token: viewer})
	if len(list.Items) != 1 || list.Items[0].Trigger != "alarm" || list.Items[0].By != "alerts" || list.Items[0].Reason != "alert HighErrors" {
		t.Fatalf("freezes: %+v", list)
	}
	rule := want[api.Trigger](t, p.site, call{path: "/api/v1/triggers/shop/alarm", token: viewer})
	if rule.Preset != "alertmanager" || rule.When != `event.kind == "alert"` || rule.For != "3h0m0s" || rule.LastFired == nil || rule.LastFired.Reason != "froze dev: alert HighErrors" {
		t.Errorf("trigger: %+v", rule)
	}
	if got := want[api.Promotion](t, p.site, call{path: "/api/v1/promotions/1", token: viewer}); got.State != cd.Queued || !strings.Contains(got.Reason, "lifts when that ends") {
		t.Errorf("promotion: %+v", got)
	}
	post("resolved", p.now().Format(time.RFC3339))
	if got := want[api.Promotion](t, p.site, call{path: "/api/v1/promotions/1", token: viewer}); got.State != cd.Done {
		t.Errorf("promotion: %+v", got)
	}
	h := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs?trigger=alarm", token: viewer})
	x := want[api.Explanation](t, p.site, call{path: "/api/v1/handoffs/" + itoa(int(h.Items[0].ID)) + "/explain", token: viewer})
	if all := strings.Join(x.Story, "\n"); !strings.Contains(all, "and freezes dev") || !strings.Contains(all, "lifted the freeze of dev") {
		t.Errorf("the story:\n%s", all)
	}
	if len(h.Items) != 2 || h.Items[0].State != bridge.Accepted || h.Items[0].Reason != "lifted the freeze of dev: alert HighErrors ended" {
		t.Errorf("handoffs: %+v", h)
	}
}
