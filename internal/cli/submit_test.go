package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cli"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
)

const submitDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// desk is a server that exchanges identity tokens and takes events, with an issuer.
type desk struct {
	url    string
	issuer *identitytest.Issuer
	tokens *identity.Tokens

	mu     sync.Mutex
	events map[string]int64 // by source and id
	posts  []post
	down   int // so many answers are 503 first
}

// post is one event as it came.
type post struct {
	from  identity.Token
	event bridge.Published
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{issuer: identitytest.NewIssuer(t), tokens: identity.New(&identitytest.Memory{}, time.Now), events: map[string]int64{}}
	s := httptest.NewUnstartedServer(nil)
	d.url = "http://" + s.Listener.Addr().String()
	exchange := &identity.Exchange{Rules: d, Issuers: identity.NewIssuers(nil, time.Now), Tokens: d.tokens, Audience: d.url}
	h, err := web.New(web.Config{
		Verify: d.tokens.Verify, Log: slog.New(slog.DiscardHandler),
		Routes: append(web.ExchangeRoutes(exchange), web.Route{
			Method: http.MethodPost, Pattern: "/api/v1/events", Action: identity.PostEvents, Summary: "Post an event", Handler: d.receive,
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		down := d.down > 0
		d.down--
		d.mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(w, r)
	})
	s.Start()
	t.Cleanup(s.Close)
	return d
}

func (d *desk) Workloads(context.Context) ([]identity.Workload, error) {
	return []identity.Workload{{Name: "ci", Issuer: d.issuer.URL, Subject: "repo:acme/shop:*", Applications: []string{"shop", "till"}}}, nil
}

func (d *desk) receive(w http.ResponseWriter, r *http.Request) error {
	body, err := web.Body(r)
	if err != nil {
		return err
	}
	p, err := bridge.ParsePublished(body)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.posts = append(d.posts, post{web.Token(r.Context()), p})
	key := p.Source + " " + p.ID
	id, known := d.events[key]
	if !known {
		id = int64(len(d.events)) + 1
		d.events[key] = id
	}
	return web.Reply(w, http.StatusAccepted, api.Received{ID: id, Fresh: !known})
}

// last is the event that came last.
func (d *desk) last() post {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.posts[len(d.posts)-1]
}

func (d *desk) sign(t *testing.T, aud string) string {
	t.Helper()
	return d.issuer.Sign(t, map[string]any{"sub": "repo:acme/shop:main", "aud": aud, "exp": time.Now().Add(time.Minute).Unix()})
}

// submit runs the command in an empty environment but for env.
func (d *desk) submit(t *testing.T, env map[string]string, args ...string) (code int, out, talk string) {
	t.Helper()
	all := map[string]string{"DRAWBRIDGE_SERVER": d.url, "DRAWBRIDGE_DATA": t.TempDir()}
	maps.Copy(all, env)
	var stdout, stderr bytes.Buffer
	code = cli.Run(t.Context(), append([]string{"submit"}, args...), cli.IO{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Getenv: func(k string) string { return all[k] },
	})
	return code, stdout.String(), stderr.String()
}

// actions is what GitHub sets in a job, with an endpoint that gives identity tokens.
func (d *desk) actions(t *testing.T, status int) map[string]string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-secret" || r.URL.Query().Get("api-version") != "2.0" {
			t.Errorf("GitHub is asked %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"count": 1, "value": d.sign(t, r.URL.Query().Get("audience"))})
	}))
	t.Cleanup(s.Close)
	return map[string]string{
		"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": s.URL + "/token?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-secret",
		"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/shop", "GITHUB_RUN_ID": "77", "GITHUB_RUN_ATTEMPT": "2",
		"GITHUB_REF": "refs/heads/main", "GITHUB_SHA": strings.Repeat("c", 40),
	}
}

func TestSubmitFromActions(t *testing.T) {
	d := newDesk(t)
	env := d.actions(t, 200)
	image := "ghcr.io/acme/shop:1.2.3@" + submitDigest
	code, out, talk := d.submit(t, env, "--image", image, "--delivery", "shop")
	if code != 0 || out != "event 1\n" || talk != "follow it: drawbridge event show 1\n" {
		t.Fatalf("%d %q %q", code, out, talk)
	}
	p := d.last()
	want := bridge.Published{
		Source: "https://github.com/acme/shop/actions/runs/77", ID: "77/2/" + image, Repository: "https://github.com/acme/shop",
		Ref: "refs/heads/main", Commit: strings.Repeat("c", 40), At: p.event.At,
	}
	want.Artifact, _ = artifact.ParseReference(image)
	if p.event != want {
		t.Errorf("event %+v, want %+v", p.event, want)
	}
	if p.from.Name != "workload:ci" || !slices.Equal(p.from.Applications, []string{"shop"}) || p.from.Role != identity.Events {
		t.Errorf("from %+v", p.from)
	}
	// The same step again is the same event; another attempt and another image are others.
	if code, out, talk := d.submit(t, env, "--image", image, "--delivery", "shop"); code != 0 || out != "event 1\n" || !strings.Contains(talk, "knew it already") {
		t.Errorf("%d %q %q", code, out, talk)
	}
	if _, out, _ := d.submit(t, env, "--image", "ghcr.io/acme/till:1.2.3@"+submitDigest, "--delivery", "till", "-o", "json"); !strings.Contains(out, `"id": 2`) {
		t.Errorf("another image: %s", out)
	}
	env["GITHUB_RUN_ATTEMPT"] = "3"
	if _, out, _ := d.submit(t, env, "--image", image, "--delivery", "shop"); out != "event 3\n" {
		t.Errorf("another attempt: %s", out)
	}
}

func TestSubmitFromOtherCIs(t *testing.T) {
	d := newDesk(t)
	_, stored, err := d.tokens.Create(t.Context(), identity.Request{Name: "jenkins", Role: identity.Events, Applications: []string{"shop"}, By: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(d.sign(t, d.url)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := "https://ci.example.com/job/" + strings.Repeat("x", 300)
	for name, test := range map[string]struct {
		env                  map[string]string
		args                 []string
		from, source, id     string
		repository, ref, sha string
	}{
		"gitlab": {
			env: map[string]string{
				"GITLAB_CI": "true", "DRAWBRIDGE_ID_TOKEN": d.sign(t, d.url), "CI_JOB_URL": "https://gitlab.com/acme/shop/-/jobs/5", "CI_JOB_ID": "5",
				"CI_PROJECT_URL": "https://gitlab.com/acme/shop", "CI_COMMIT_BRANCH": "main", "CI_COMMIT_SHA": "c0ffee",
			},
			from: "workload:ci", source: "https://gitlab.com/acme/shop/-/jobs/5", id: "5/r.example.com/shop:1", repository: "https://gitlab.com/acme/shop",
			ref: "refs/heads/main", sha: "c0ffee",
		},
		"jenkins with a stored token": {
			env: map[string]string{
				"DRAWBRIDGE_TOKEN": stored, "BUILD_URL": "https://ci.example.com/job/shop/9/", "BUILD_NUMBER": "9", "GIT_URL": "https://bob:hunter2@git.example.com/shop.git",
				"GIT_BRANCH": "origin/main", "GIT_COMMIT": "c0ffee",
			},
			from: "jenkins", source: "https://ci.example.com/job/shop/9/", id: "9/r.example.com/shop:1", repository: "https://git.example.com/shop.git",
			ref: "refs/heads/main", sha: "c0ffee",
		},
		"a long address": {
			env: map[string]string{"DRAWBRIDGE_TOKEN": stored, "BUILD_URL": long, "BUILD_NUMBER": "9", "TAG_NAME": "v1"}, from: "jenkins",
			source: long[:191] + "#" + artifact.DigestOf([]byte(long)).Hex(), id: "9/r.example.com/shop:1", ref: "refs/tags/v1",
		},
		"a file goes before what is found": {
			env:  map[string]string{"DRAWBRIDGE_ID_TOKEN": "x", "BUILD_URL": "u", "BUILD_NUMBER": "1", "CHANGE_ID": "4", "BRANCH_NAME": "PR-4"},
			args: []string{"--id-token-file", file}, from: "workload:ci", source: "u", id: "1/r.example.com/shop:1",
		},
		"a token goes before all": {
			env:  map[string]string{"DRAWBRIDGE_ID_TOKEN": "x", "BUILD_URL": "u", "BUILD_NUMBER": "1"},
			args: []string{"--id-token-file", "none", "--token", stored}, from: "jenkins", source: "u", id: "1/r.example.com/shop:1",
		},
	} {
		code, _, talk := d.submit(t, test.env, append(test.args, "--image", "r.example.com/shop:1", "--delivery", "shop")...)
		if code != 0 {
			t.Errorf("%s: %d %s", name, code, talk)
			continue
		}
		p := d.last()
		want := bridge.Published{
			Source: test.source, ID: test.id, Repository: test.repository, Ref: test.ref, Commit: test.sha, At: p.event.At,
			Artifact: artifact.Reference{Host: "r.example.com", Repository: "shop", Tag: "1"},
		}
		if p.event != want || p.from.Name != test.from {
			t.Errorf("%s: %s sent %+v, want %s and %+v", name, p.from.Name, p.event, test.from, want)
		}
	}
}

// Outside of a CI a digest is one event, and a tag alone another one each time.
func TestSubmitByHand(t *testing.T) {
	d := newDesk(t)
	env := map[string]string{"DRAWBRIDGE_ID_TOKEN": d.sign(t, d.url)}
	for _, test := range []struct{ image, want string }{
		{"shop/web:1@" + submitDigest, "event 1\n"}, {"shop/web:1@" + submitDigest, "event 1\n"}, {"shop/web:1", "event 2\n"}, {"shop/web:1", "event 3\n"},
	} {
		if code, out, talk := d.submit(t, env, "--image", test.image, "--delivery", "shop"); code != 0 || out != test.want {
			t.Errorf("%s: %d %q %q", test.image, code, out, talk)
		}
	}
}

func TestSubmitRefused(t *testing.T) {
	d := newDesk(t)
	good := map[string]string{"DRAWBRIDGE_ID_TOKEN": d.sign(t, d.url)}
	image := []string{"--image", "shop/web:1", "--delivery", "shop"}
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		code int
		talk string
	}{
		"no image":            {good, nil, 2, "--image: no image named"},
		"no reference":        {good, []string{"--image", "Shop:1"}, 2, "--image: "},
		"no tag":              {good, []string{"--image", "shop/web@" + submitDigest}, 2, "has no tag"},
		"argument":            {good, []string{"shop/web:1"}, 2, "one argument too many"},
		"nobody":              {nil, image, 3, "--id-token-file"},
		"nobody on GitHub":    {map[string]string{"GITHUB_ACTIONS": "true"}, image, 3, "id-token: write"},
		"nobody on GitLab":    {map[string]string{"GITLAB_CI": "true"}, image, 3, "aud: " + d.url},
		"GitHub refuses":      {d.actions(t, 403), image, 3, "answers 403"},
		"another audience":    {map[string]string{"DRAWBRIDGE_ID_TOKEN": d.sign(t, "other")}, image, 3, "expects the audience"},
		"another delivery":    {good, []string{"--image", "shop/web:1", "--delivery", "bank"}, 4, `not for "bank"`},
		"several deliveries":  {good, []string{"--image", "shop/web:1"}, 2, "name one"},
		"no such file":        {nil, append([]string{"--id-token-file", "nowhere"}, image...), 2, "--id-token-file: "},
		"a file that is none": {nil, append([]string{"--id-token-file", os.Args[0]}, image...), 9, "at most"},
		"a wrong token":       {map[string]string{"DRAWBRIDGE_TOKEN": "db_" + strings.Repeat("0", 64)}, image, 3, "no valid token"},
		"a malformed URL":     {map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "::"}, image, 2, "ACTIONS_ID_TOKEN_REQUEST_URL"},
		"nobody answers": {
			map[string]string{"DRAWBRIDGE_SERVER": "http://127.0.0.1:1", "DRAWBRIDGE_ID_TOKEN": "x"}, append([]string{"--timeout", "0"}, image...), 10, "does not answer",
		},
	} {
		code, out, talk := d.submit(t, test.env, test.args...)
		if code != test.code || out != "" || !strings.Contains(talk, test.talk) {
			t.Errorf("%s: %d %q %q, want %d with %q", name, code, out, talk, test.code, test.talk)
		}
		if strings.Contains(talk, d.sign(t, d.url)[:40]) {
			t.Errorf("%s shows the token: %s", name, talk)
		}
	}
	if len(d.posts) != 0 {
		t.Errorf("%d events came through", len(d.posts))
	}
}

// A server that is away for a moment costs a step no failure.
func TestSubmitTriesAgain(t *testing.T) {
	d := newDesk(t)
	d.down = 1
	code, out, talk := d.submit(t, map[string]string{"DRAWBRIDGE_ID_TOKEN": d.sign(t, d.url)}, "--image", "shop/web:1", "--delivery", "shop")
	if code != 0 || out != "event 1\n" || !strings.Contains(talk, "trying again") {
		t.Errorf("%d %q %q", code, out, talk)
	}
}
