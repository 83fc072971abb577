package web_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

func TestReceivers(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	viewer, admin := p.secret[identity.Viewer], p.secret[identity.Admin]
	types := want[api.List[api.ReceiverType]](t, p.site, call{path: "/api/v1/receivertypes?limit=1000", token: viewer})
	if i := slices.IndexFunc(types.Items, func(v api.ReceiverType) bool { return v.Name == "github" }); i < 0 || !types.Items[i].Signed || types.Items[i].Secret != "text" || len(types.Items[i].Schemes) == 0 {
		t.Errorf("types %+v", types)
	}
	secret := p.receiver(t, "code", "github")
	const file = "apiVersion: drawbridge/v1\nkind: Receiver\nname: code\ntype: github\napplications: [shop]\n"
	again := want[api.MadeReceiver](t, p.site, p.putReceiver(t, file, ""))
	if again.Changed || again.Version != 1 || again.Secret != "" || again.Address != address+"/hooks/code" {
		t.Errorf("again: %+v", again)
	}
	wider := want[api.MadeReceiver](t, p.site, p.putReceiver(t, strings.Replace(file, "[shop]", "[shop, till]", 1), ""))
	if !wider.Changed || wider.Version != 2 || wider.Secret != "" || len(wider.Receiver.Applications) != 2 {
		t.Errorf("changed: %+v", wider)
	}
	given := want[api.MadeReceiver](t, p.site, p.putReceiver(t, strings.Replace(file, "name: code", "name: other", 1), "a-secret-that-a-person-chose"))
	if given.Secret != "" || given.Version != 1 {
		t.Errorf("with a given secret: %+v", given)
	}
	rotate := call{method: "POST", path: "/api/v1/receivers/code/rotate", token: admin, body: "{}"}
	turned := want[api.MadeReceiver](t, p.site, rotate)
	if turned.Secret == "" || turned.Secret == secret || turned.Version != 2 {
		t.Errorf("rotated: %+v", turned)
	}
	list := want[api.List[api.Receiver]](t, p.site, call{path: "/api/v1/receivers?limit=1", token: viewer})
	if len(list.Items) != 1 || list.Items[0].Name != "code" || list.Next != "code" || list.Items[0].Source != "" {
		t.Errorf("list %+v", list)
	}
	one := want[api.Receiver](t, p.site, call{path: "/api/v1/receivers/code", token: viewer})
	if one.Version != 2 || one.Type != "github" || !strings.Contains(one.Source, "till") || one.Address != address+"/hooks/code" {
		t.Errorf("show %+v", one)
	}
	// No secret is in anything that a viewer may see.
	var seen strings.Builder
	for _, path := range []string{"/api/v1/receivers", "/api/v1/receivers/code", "/api/v1/receivers/other", "/api/v1/audit?plane=cd", "/api/v1/audit/export?plane=cd", "/metrics"} {
		_, body := p.send(t, call{path: path, token: viewer})
		seen.Write(body)
	}
	for _, s := range []string{secret, turned.Secret, "a-secret-that-a-person-chose"} {
		if strings.Contains(seen.String()+p.log.String(), s) {
			t.Error("a secret can be read")
		}
	}
	for _, test := range []struct {
		file, secret, field string
		line                int
	}{
		{strings.Replace(file, "github", "gitbub", 1), "", "", 4},
		{strings.Replace(file, "name: code", "name: api", 1), "", "", 3},
		{strings.Replace(file, "[shop]", "[]", 1), "", "", 5},
		{file, "short", "secret", 0},
		{"", "", "source", 0},
	} {
		_, problem := p.problem(t, p.putReceiver(t, test.file, test.secret))
		if problem.Kind != fault.Invalid || problem.Line != test.line || test.line > 0 && problem.File != "r.yaml" || test.field != "" && problem.Field != test.field || strings.Contains(problem.Detail, "short") {
			t.Errorf("%q: %+v", test.file, problem)
		}
	}
	remove := call{method: "DELETE", path: "/api/v1/receivers/code", token: admin}
	if resp, body := p.send(t, remove); resp.StatusCode != 204 || len(body) != 0 {
		t.Errorf("removed: %d %s", resp.StatusCode, body)
	}
	refuse(t, p.site, remove, fault.NotFound, "")
	refuse(t, p.site, rotate, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/receivers/code", token: viewer}, fault.NotFound, "")
	refuse(t, p.site, hook("code", "{}", "X-Hub-Signature-256", "x"), fault.Unauthenticated, "")
}

func TestReceiverDryRun(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	b, err := json.Marshal(api.NewReceiver{Source: "apiVersion: drawbridge/v1\nkind: Receiver\nname: code\ntype: github\napplications: [shop]\n", Dry: true})
	if err != nil {
		t.Fatal(err)
	}
	got := want[api.MadeReceiver](t, p.site, call{method: "PUT", path: "/api/v1/receivers", token: p.secret[identity.Admin], body: string(b)})
	if !got.Changed || got.Version != 0 || got.Secret != "" {
		t.Errorf("dry: %+v", got)
	}
	refuse(t, p.site, call{path: "/api/v1/receivers/code", token: p.secret[identity.Viewer]}, fault.NotFound, "")
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	viewer, admin := p.secret[identity.Viewer], p.secret[identity.Admin]
	if got := want[api.Policy](t, p.site, call{path: "/api/v1/policy", token: viewer}); got.Version != 0 || got.Source != "" {
		t.Errorf("before: %+v", got)
	}
	const file = "apiVersion: drawbridge/v1\nkind: Policy\nhosts: {private: [10.1.0.0/16]}\n"
	put := func(query, body string) call {
		return call{method: "PUT", path: "/api/v1/policy" + query, token: admin, body: body, header: asYAML}
	}
	if a := want[api.Applied](t, p.site, put("?dry=true", file)); !a.Changed || a.Version != 0 || a.Kind != "Policy" || a.Name != "default" || !strings.Contains(a.Diff, "+hosts") {
		t.Errorf("dry: %+v", a)
	}
	if a := want[api.Applied](t, p.site, put("", file)); !a.Changed || a.Version != 1 {
		t.Errorf("first: %+v", a)
	}
	if a := want[api.Applied](t, p.site, put("", file)); a.Changed || a.Version != 1 || a.Diff != "" {
		t.Errorf("again: %+v", a)
	}
	if a := want[api.Applied](t, p.site, put("", strings.Replace(file, "10.1.", "10.2.", 1))); a.Version != 2 || !strings.Contains(a.Diff, "-hosts") {
		t.Errorf("second: %+v", a)
	}
	got := want[api.Policy](t, p.site, call{path: "/api/v1/policy", token: viewer})
	if got.Version != 2 || !slices.Equal(got.Policy.Hosts.Private, []string{"10.2.0.0/16"}) || got.Source == "" {
		t.Errorf("after: %+v", got)
	}
	_, problem := p.problem(t, put("?file=p.yaml", "apiVersion: drawbridge/v1\nkind: Policy\nhosts: {private: [10.1]}\n"))
	if problem.Kind != fault.Invalid || problem.File != "p.yaml" || problem.Line != 3 {
		t.Errorf("a malformed range: %+v", problem)
	}
	refuse(t, p.site, put("?dry=odd", file), fault.Invalid, "dry")
	c := put("", file)
	c.header = nil
	refuse(t, p.site, c, fault.Invalid, "Content-Type")
}

func TestWorkloads(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	viewer, admin := p.secret[identity.Viewer], p.secret[identity.Admin]
	file := func(name string) string {
		return "apiVersion: drawbridge/v1\nkind: Workload\nname: " + name + "\nissuer: https://token.actions.githubusercontent.com\n" +
			"subject: repo:acme/shop:ref:refs/heads/main\nclaims: {repository: acme/shop}\napplications: [shop]\n"
	}
	put := func(query, body string) call {
		return call{method: "PUT", path: "/api/v1/workloads" + query, token: admin, body: body, header: asYAML}
	}
	for _, name := range []string{"github", "jenkins"} {
		if a := want[api.Applied](t, p.site, put("", file(name))); !a.Changed || a.Version != 1 || a.Name != name || a.Kind != "Workload" {
			t.Errorf("applied: %+v", a)
		}
	}
	list := want[api.List[api.Workload]](t, p.site, call{path: "/api/v1/workloads?limit=1", token: viewer})
	if len(list.Items) != 1 || list.Items[0].Name != "github" || list.Next != "github" || list.Items[0].Source != "" || list.Items[0].Version != 1 {
		t.Errorf("list %+v", list)
	}
	one := want[api.Workload](t, p.site, call{path: "/api/v1/workloads/jenkins", token: viewer})
	if one.Source != file("jenkins") || one.Claims["repository"] != "acme/shop" || !slices.Equal(one.Applications, []string{"shop"}) {
		t.Errorf("show %+v", one)
	}
	_, problem := p.problem(t, put("?file=w.yaml", strings.Replace(file("x"), "[shop]", "[]", 1)))
	if problem.Kind != fault.Invalid || problem.File != "w.yaml" || problem.Line != 7 {
		t.Errorf("no application: %+v", problem)
	}
	remove := call{method: "DELETE", path: "/api/v1/workloads/github", token: admin}
	if resp, _ := p.send(t, remove); resp.StatusCode != 204 {
		t.Errorf("removed: %d", resp.StatusCode)
	}
	refuse(t, p.site, remove, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/workloads/github", token: viewer}, fault.NotFound, "")
	if a := want[api.Applied](t, p.site, put("", file("github"))); a.Version != 3 { // its versions stay on record
		t.Errorf("made again: %+v", a)
	}
}

// An environment that does not run what its repository states is shown as drifted.
func TestDrift(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.ship("1.0.0", true)
	viewer := p.secret[identity.Viewer]
	p.ship("1.1.0", true)
	releases := map[string]string{}
	for _, r := range want[api.List[api.Release]](t, p.site, call{path: "/api/v1/releases", token: viewer}).Items {
		releases[r.Version] = r.ID
	}
	state := func(version string) {
		t.Helper()
		ev := bridge.Event{
			Receiver: "git", Key: version, Sender: "git", State: bridge.EventProcessed, Received: p.now(),
			Fact: bridge.Fact{Kind: bridge.KindPush, Type: "push"},
		}
		o := bridge.Outcome{
			Handoff: bridge.Handoff{Application: "shop", Trigger: "state", State: bridge.Accepted, Reason: "commit", Once: version, At: p.now()},
			Expected: []bridge.Expectation{{
				Application: "shop", Trigger: "state", Environment: "dev", Version: version, Release: releases[version], Commit: commit, Actor: "alice", At: p.now(),
			}},
		}
		if _, err := p.cdStore.Cross(t.Context(), bridge.Crossing{Event: ev, Outcomes: []bridge.Outcome{o}}); err != nil {
			t.Fatal(err)
		}
	}
	if none := want[api.List[api.Drift]](t, p.site, call{path: "/api/v1/drifts", token: viewer}); none.Items == nil || len(none.Items) != 0 {
		t.Errorf("before anything is stated: %+v", none)
	}
	state("1.1.0")
	status := want[api.List[api.Status]](t, p.site, call{path: "/api/v1/status", token: viewer})
	if e := status.Items[0].Expected; e == nil || e.Version != "1.1.0" || e.Actor != "alice" || e.Drifted || status.Items[0].Version != "1.1.0" || status.Items[1].Expected != nil {
		t.Errorf("status %+v", status)
	}
	p.pass(time.Minute)
	state("1.0.0")
	drifts := want[api.List[api.Drift]](t, p.site, call{path: "/api/v1/drifts?application=shop", token: viewer})
	if len(drifts.Items) != 1 || drifts.Items[0].Version != "1.0.0" || drifts.Items[0].Runs != "1.1.0" || drifts.Items[0].Environment != "dev" || drifts.Items[0].Trigger != "state" {
		t.Errorf("drifts %+v", drifts)
	}
	if e := want[api.List[api.Status]](t, p.site, call{path: "/api/v1/status", token: viewer}).Items[0].Expected; e == nil || !e.Drifted {
		t.Errorf("status %+v", e)
	}
}

// Each row is refused to exactly the roles that may not, and the new ones are whose they should be.
func TestRolesOfRows(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	least := map[string]identity.Action{
		"PUT /api/v1/receivers": identity.ManageReceivers, "POST /api/v1/receivers/{name}/rotate": identity.ManageReceivers,
		"DELETE /api/v1/receivers/{name}": identity.ManageReceivers, "PUT /api/v1/policy": identity.ApplyPolicy,
		"PUT /api/v1/workloads": identity.ManageWorkloads, "DELETE /api/v1/workloads/{name}": identity.ManageWorkloads,
		"POST /api/v1/triggers/{application}/{name}/pause":  identity.PauseTrigger,
		"POST /api/v1/triggers/{application}/{name}/resume": identity.PauseTrigger,
		"POST /api/v1/triggers/{application}/{name}/test":   identity.TestTrigger,
		"POST /api/v1/events/{id}/redrive":                  identity.Redrive, "POST /api/v1/events": identity.PostEvents,
		"GET /api/v1/events/{id}/raw": identity.Redrive,
	}
	for _, r := range p.routes {
		name := r.Method + " " + r.Pattern
		if a, ok := least[name]; ok && r.Action != a {
			t.Errorf("%s needs %q, want %q", name, r.Action, a)
		}
		delete(least, name)
		if r.Anonymous != strings.HasPrefix(r.Pattern, "/hooks/") {
			t.Errorf("%s is anonymous: %v", name, r.Anonymous)
		}
		if r.Anonymous || r.Pattern == "/live" {
			continue
		}
		c := call{method: r.Method, path: parameter.ReplaceAllString(strings.TrimSuffix(r.Pattern, "{$}"), "1")}
		for role, secret := range p.secret {
			c.token = secret
			resp, body := p.send(t, c)
			if got := resp.StatusCode != 403; got != identity.Can(role, r.Action) || resp.StatusCode >= 500 {
				t.Errorf("%s as %s: %d %s", name, role, resp.StatusCode, body)
			}
		}
	}
	for name := range least {
		t.Errorf("there is no row %s", name)
	}
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *web.Config) {
		c.Metrics = newRegistry(t, web.Gauges{Backlog: func(context.Context) (web.Backlog, error) {
			return web.Backlog{Received: 3, Dead: 2, Waiting: 1}, nil
		}})
	})
	_, body := s.send(t, call{path: "/metrics", token: s.secret[identity.Viewer]})
	wants(t, string(body), `drawbridge_events{state="received"} 3`, `drawbridge_events{state="dead"} 2`, `drawbridge_handoffs{state="waiting"} 1`)
}

var _ web.PromotionService = (*cd.Service)(nil)
