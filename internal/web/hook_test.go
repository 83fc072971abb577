package web_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

// putReceiver is the call that applies a receiver's file.
func (p *plant) putReceiver(t *testing.T, source, secret string) call {
	t.Helper()
	b, err := json.Marshal(api.NewReceiver{File: "r.yaml", Source: source, Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	return call{method: "PUT", path: "/api/v1/receivers", token: p.secret[identity.Admin], body: string(b)}
}

// receiver makes a receiver for shop and returns its secret.
func (p *plant) receiver(t *testing.T, name, kind string) string {
	t.Helper()
	made := want[api.MadeReceiver](t, p.site, p.putReceiver(t, "apiVersion: drawbridge/v1\nkind: Receiver\nname: "+name+"\ntype: "+kind+"\napplications: [shop]\n", ""))
	if made.Secret == "" || made.Version != 1 || !made.Changed {
		t.Fatalf("receiver %s: %+v", name, made)
	}
	return made.Secret
}

func hook(name, body string, header ...string) call {
	c := call{method: "POST", path: "/hooks/" + name, body: body, header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		c.header[header[i]] = header[i+1]
	}
	return c
}

func TestHooks(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	secret := p.receiver(t, "tickets", "generic")
	good := hook("tickets", `{"status":"Open","version":"1.0.0"}`, "Authorization", "Bearer "+secret, "X-Delivery-Id", "d1")
	resp, body := p.send(t, good)
	if resp.StatusCode != 202 || string(body) != `{"events":[1],"fresh":true}`+"\n" {
		t.Errorf("the first delivery: %d %s", resp.StatusCode, body)
	}
	if resp, body := p.send(t, good); resp.StatusCode != 202 || string(body) != `{"events":[1],"fresh":false}`+"\n" {
		t.Errorf("again: %d %s", resp.StatusCode, body)
	}
	e := want[api.Event](t, p.site, call{path: "/api/v1/events/1", token: p.secret[identity.Viewer]})
	if e.Receiver != "tickets" || e.Sender != "tickets" || e.EventID != "d1" || e.Key != "d1" || e.Kind != bridge.KindTicket || len(e.Applications) != 1 || e.Artifact != "" {
		t.Errorf("the event is %+v", e)
	}
	dead := hook("tickets", `{"status":`, "Authorization", "Bearer "+secret, "X-Delivery-Id", "d2")
	if resp, body := p.send(t, dead); resp.StatusCode != 202 || !strings.Contains(string(body), `[2]`) {
		t.Errorf("an authentic delivery that is malformed: %d %s", resp.StatusCode, body)
	}
	list := want[api.List[api.Event]](t, p.site, call{path: "/api/v1/events?state=dead&receiver=tickets", token: p.secret[identity.Viewer]})
	if len(list.Items) != 1 || list.Items[0].ID != 2 || list.Items[0].Reason == "" {
		t.Errorf("the dead letters: %+v", list)
	}
	_, wrong := p.problem(t, hook("tickets", "{}", "Authorization", "Bearer wrong"))
	_, none := p.problem(t, hook("nobody", "{}", "Authorization", "Bearer wrong"))
	_, evil := p.problem(t, hook("..%2fapi", "{}"))
	if wrong.Kind != fault.Unauthenticated || wrong.Detail != none.Detail || wrong.Hint != none.Hint || evil.Kind != fault.Unauthenticated {
		t.Errorf("a stranger learns something: %+v and %+v, %+v", wrong, none, evil)
	}
	refuse(t, p.site, hook("tickets", strings.Repeat("x", bridge.MaxEvent+1), "Authorization", "Bearer "+secret), fault.TooLarge, "")
	if resp, _ := p.send(t, call{path: "/hooks/tickets"}); resp.StatusCode != 405 {
		t.Errorf("GET: %d", resp.StatusCode)
	}
	counted(t, p.hooks, map[[2]string]float64{
		{"tickets", "kept"}: 1, {"tickets", "repeated"}: 1, {"tickets", "dead"}: 1, {"tickets", "refused"}: 1, {"unknown", "refused"}: 2,
	})
}

// counted compares the counters of deliveries.
func counted(t *testing.T, c prometheus.Collector, want map[[2]string]float64) {
	t.Helper()
	families, err := newRegistry(t, c).Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[[2]string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var key [2]string
			for _, l := range m.GetLabel() {
				if l.GetName() == "receiver" {
					key[0] = l.GetValue()
				} else {
					key[1] = l.GetValue()
				}
			}
			got[key] = m.GetCounter().GetValue()
		}
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%v counted %v, want %v", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
}

// A signed greeting tells nothing, and a handshake is answered.
func TestHookAnswers(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	secret := p.receiver(t, "code", "github")
	body := `{"zen":"Anything added dilutes everything else."}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	ping := hook("code", body, "X-GitHub-Event", "ping", "X-GitHub-Delivery", "1", "X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	if resp, b := p.send(t, ping); resp.StatusCode != 200 || string(b) != `{"events":[],"fresh":false}`+"\n" {
		t.Errorf("a ping: %d %s", resp.StatusCode, b)
	}
	ping.body += " "
	refuse(t, p.site, ping, fault.Unauthenticated, "")
	s := serveRoutes(t, web.NewHooks(doorFunc(func(web.HookRequest) (web.Taken, error) {
		return web.Taken{Answer: []byte(`{"challenge":"x"}`)}, nil
	})).Routes())
	if resp, b := s.send(t, hook("grid", "{}")); resp.StatusCode != 200 || string(b) != `{"challenge":"x"}` || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("a handshake: %d %s", resp.StatusCode, b)
	}
}

// doorFunc is a door in one function.
type doorFunc func(r web.HookRequest) (web.Taken, error)

func (f doorFunc) Deliver(_ context.Context, _ string, r web.HookRequest) (web.Taken, error) {
	return f(r)
}

// The secret at the end of an address gets into no log, no answer and no label.
func TestHookSecretStaysInside(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2hunter2hunter2hunter2"
	var seen []string
	hooks := web.NewHooks(doorFunc(func(r web.HookRequest) (web.Taken, error) {
		seen = append(seen, r.Path)
		switch len(seen) {
		case 1:
			return web.Taken{}, errors.New("the database is away")
		case 2:
			panic("a defect")
		case 3:
			return web.Taken{}, fault.New(fault.Unauthenticated, "no")
		}
		return web.Taken{Events: []bridge.Event{{ID: 1}}, Fresh: true}, nil
	}))
	metrics := newRegistry(t, hooks)
	s := newSite(t, func(c *web.Config) { c.Routes, c.Metrics = append(c.Routes, hooks.Routes()...), metrics })
	c := hook("hub/"+secret, "{}", "Accept", "text/html, application/json")
	var answers strings.Builder
	for _, want := range []int{500, 500, 401, 202} {
		resp, body := s.send(t, c)
		if resp.StatusCode != want {
			t.Errorf("answer %d, want %d: %s", resp.StatusCode, want, body)
		}
		answers.Write(body)
	}
	c.method = http.MethodPut
	_, body := s.send(t, c)
	answers.Write(body)
	for _, path := range seen {
		if path != secret {
			t.Errorf("the door saw %q", path)
		}
	}
	_, figures := s.send(t, call{path: "/metrics", token: s.secret[identity.Viewer]})
	log := s.log.String()
	for name, text := range map[string]string{"log": log, "answers": answers.String(), "metrics": string(figures)} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret is in the %s:\n%s", name, text)
		}
	}
	if !strings.Contains(log, "path=/hooks/hub") || !strings.Contains(log, "the database is away") || !strings.Contains(log, "a defect") {
		t.Errorf("the log does not tell what happened:\n%s", log)
	}
	if !strings.Contains(string(figures), `route="POST /hooks/{name}/{secret...}"`) {
		t.Errorf("the figures do not name the route:\n%s", figures)
	}
}

// The sender of a repository that has no signatures finds its secret in the address.
func TestHookWithSecretInPath(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	made := want[api.MadeReceiver](t, p.site, p.putReceiver(t, "apiVersion: drawbridge/v1\nkind: Receiver\nname: hub\ntype: dockerhub\napplications: [shop]\n", ""))
	if made.Address != address+"/hooks/hub/"+made.Secret || made.Receiver.Address != address+"/hooks/hub/SECRET" {
		t.Errorf("made %+v", made)
	}
	body := `{"push_data":{"tag":"1.0.0","pushed_at":1700000000},"repository":{"repo_name":"shop/web"}}`
	if got := want[api.Hooked](t, p.site, hook("hub/"+made.Secret, body)); len(got.Events) != 1 || !got.Fresh {
		t.Errorf("with the secret: %+v", got)
	}
	for _, path := range []string{"hub", "hub/", "hub/" + made.Secret[1:], "hub/" + made.Secret + "/x", "hub/x/" + made.Secret, "tickets/" + made.Secret} {
		refuse(t, p.site, hook(path, body), fault.Unauthenticated, "")
	}
}
