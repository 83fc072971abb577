package web_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// want makes a request that must succeed and reads the answer.
func want[T any](t *testing.T, s *site, c call) T {
	t.Helper()
	resp, body := s.send(t, c)
	var v T
	if resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s answers %d %s", c.method, c.path, resp.StatusCode, body)
	}
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%s %s answers %s: %v", c.method, c.path, body, err)
	}
	return v
}

// refuse makes a request that must fail with a kind, and with a field unless it is empty.
func refuse(t *testing.T, s *site, c call, kind fault.Kind, field string) {
	t.Helper()
	if _, p := s.problem(t, c); p.Kind != kind || field != "" && p.Field != field || p.Detail == "" {
		t.Errorf("%s %s: %+v, want %s at %q", c.method, c.path, p, kind, field)
	}
}

func TestRepositories(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	viewer, admin := p.secret[identity.Viewer], p.secret[identity.Admin]
	for _, name := range []string{"shop", "blog", "zoo"} {
		r := want[api.Repository](t, p.site, call{method: "POST", path: "/api/v1/repositories", token: admin, body: `{"name":"` + name + `"}`})
		if r.Name != name || r.URL != "http://bridge.example.com/git/"+name+".git" || len(r.Protected) != 2 {
			t.Errorf("made %+v", r)
		}
	}
	refuse(t, p.site, call{method: "POST", path: "/api/v1/repositories", token: p.secret[identity.Releaser], body: `{"name":"x"}`}, fault.Forbidden, "")
	refuse(t, p.site, call{method: "POST", path: "/api/v1/repositories", token: admin, body: `{"name":"../x"}`}, fault.Invalid, "name")
	refuse(t, p.site, call{method: "POST", path: "/api/v1/repositories", token: admin, body: `{"name":"shop"}`}, fault.Conflict, "")
	refuse(t, p.site, call{path: "/api/v1/repositories/none", token: viewer}, fault.NotFound, "")
	first := want[api.List[api.Repository]](t, p.site, call{path: "/api/v1/repositories?limit=2", token: viewer})
	if len(first.Items) != 2 || first.Items[0].Name != "blog" || first.Next != "shop" {
		t.Errorf("first page %+v", first)
	}
	rest := want[api.List[api.Repository]](t, p.site, call{path: "/api/v1/repositories?limit=2&after=" + first.Next, token: viewer})
	if len(rest.Items) != 1 || rest.Items[0].Name != "zoo" || rest.Next != "" {
		t.Errorf("last page %+v", rest)
	}
	if r := want[api.Repository](t, p.site, call{path: "/api/v1/repositories/shop", token: viewer}); r.Name != "shop" {
		t.Errorf("shows %+v", r)
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	viewer := p.secret[identity.Viewer]
	run := p.push("shop", "alice")
	p.work(run.ID)
	p.push("shop", "alice")
	last := p.push("blog", "bob")

	one := want[api.Run](t, p.site, call{path: "/api/v1/runs/1", token: viewer})
	if one.State != ci.RunSucceeded || one.Pusher != "alice" || len(one.Jobs) != 2 || one.Jobs[1].Key != "test" ||
		len(one.Jobs[0].Steps) != 1 || one.Jobs[0].Steps[0].Exit != 0 || one.Jobs[0].State != ci.JobSucceeded {
		t.Errorf("run 1 is %+v", one)
	}
	list := want[api.List[api.Run]](t, p.site, call{path: "/api/v1/runs?limit=2", token: viewer})
	if len(list.Items) != 2 || list.Items[0].ID != last.ID || list.Next != "2" || list.Items[0].Jobs != nil {
		t.Errorf("list %+v", list)
	}
	if rest := want[api.List[api.Run]](t, p.site, call{path: "/api/v1/runs?limit=2&after=" + list.Next, token: viewer}); len(rest.Items) != 1 || rest.Items[0].ID != 1 {
		t.Errorf("the rest %+v", rest)
	}
	for query, n := range map[string]int{"repository=shop": 2, "repository=shop&state=succeeded": 1, "state=queued": 2, "ref=" + last.Ref: 1, "repository=none": 0} {
		if got := want[api.List[api.Run]](t, p.site, call{path: "/api/v1/runs?" + query, token: viewer}); len(got.Items) != n || got.Items == nil {
			t.Errorf("%s: %d runs, want %d", query, len(got.Items), n)
		}
	}
	refuse(t, p.site, call{path: "/api/v1/runs?state=odd", token: viewer}, fault.Invalid, "state")
	refuse(t, p.site, call{path: "/api/v1/runs?after=x", token: viewer}, fault.Invalid, "after")
	refuse(t, p.site, call{path: "/api/v1/runs?limit=0", token: viewer}, fault.Invalid, "limit")
	refuse(t, p.site, call{path: "/api/v1/runs/99", token: viewer}, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/runs/x", token: viewer}, fault.NotFound, "id")
	refuse(t, p.site, call{path: "/api/v1/runs", token: p.secret[identity.Events]}, fault.Forbidden, "")

	refuse(t, p.site, call{method: "POST", path: "/api/v1/runs/2/cancel", token: viewer}, fault.Forbidden, "")
	cancelled := want[api.Run](t, p.site, call{method: "POST", path: "/api/v1/runs/2/cancel", token: p.secret[identity.Developer]})
	if cancelled.State != ci.RunCancelled || cancelled.Reason != "cancelled by a-developer" || cancelled.Jobs[0].State != ci.JobCancelled {
		t.Errorf("cancelled %+v", cancelled)
	}
	refuse(t, p.site, call{method: "POST", path: "/api/v1/runs/2/cancel", token: p.secret[identity.Developer]}, fault.Conflict, "")
}

func TestRunLog(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	viewer := p.secret[identity.Viewer]
	p.work(p.push("shop", "alice").ID)
	read := func(query string) string {
		t.Helper()
		resp, body := p.send(t, call{path: "/api/v1/runs/1/log" + query, token: viewer})
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("log%s: %d %s", query, resp.StatusCode, body)
		}
		return string(body)
	}
	all := read("")
	build, test := strings.Index(all, "==> build <==\n"), strings.Index(all, "==> test <==\n")
	if build != 0 || test < build || !strings.Contains(all[build:test], "hello from build") || !strings.Contains(all[test:], "hello from test") {
		t.Errorf("the log of all jobs is %q", all)
	}
	for _, offset := range []int{0, 5, 14, 30, test + 3, len(all), len(all) + 50} {
		if got := read("?follow=true&offset=" + itoa(offset)); got != all[min(offset, len(all)):] {
			t.Errorf("from %d: %q", offset, got)
		}
	}
	one := read("?job=test")
	if strings.Contains(one, "==>") || strings.Contains(one, "from build") || !strings.Contains(one, "hello from test") {
		t.Errorf("the log of test is %q", one)
	}
	if got := read("?job=test&offset=10"); got != one[10:] {
		t.Errorf("test from 10: %q", got)
	}
	for query, field := range map[string]string{"?offset=-1": "offset", "?follow=perhaps": "follow"} {
		refuse(t, p.site, call{path: "/api/v1/runs/1/log" + query, token: viewer}, fault.Invalid, field)
	}
	refuse(t, p.site, call{path: "/api/v1/runs/1/log?job=none", token: viewer}, fault.NotFound, "job")
	refuse(t, p.site, call{path: "/api/v1/runs/9/log", token: viewer}, fault.NotFound, "")
}

// A log that is followed comes while it is written, and ends with its job.
func TestFollowLog(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	run := p.push("shop", "alice")
	jobs, err := p.ciStore.Jobs(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/api/v1/runs/1/log?job=build&follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.secret[identity.Viewer])
	resp, err := http.DefaultTransport.RoundTrip(req) // returns although nothing is written yet
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := p.logs.Append(t.Context(), jobs[0].ID, []byte("early\n")); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 6)
	if _, err := readFull(resp.Body, line); err != nil || string(line) != "early\n" {
		t.Fatalf("the first line is %q, %v", line, err)
	}
	p.work(run.ID)
	rest, err := readAll(resp.Body)
	if err != nil || !strings.Contains(rest, "hello from build") {
		t.Errorf("the rest is %q, %v", rest, err)
	}
}
