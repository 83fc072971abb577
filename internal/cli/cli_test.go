package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/cli"
	"drawbridge/internal/web/api"
)

// now is the clock of these tests.
var now = time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)

// stub is a server that answers each path with one document.
func stub(t *testing.T, answers map[string]any) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		if text, ok := v.(string); ok {
			_, _ = io.WriteString(w, text)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// run runs a command line in this process.
func run(ctx context.Context, server string, terminal bool, args ...string) (out, talk string, code int) {
	var stdout, stderr bytes.Buffer
	code = cli.Run(ctx, args, cli.IO{
		In: strings.NewReader(""), Out: &stdout, Err: &stderr, Terminal: terminal, Now: func() time.Time { return now },
		Getenv: func(name string) string {
			return map[string]string{"DRAWBRIDGE_SERVER": server, "DRAWBRIDGE_TOKEN": "t"}[name]
		},
	})
	return stdout.String(), stderr.String(), code
}

func canary() api.List[api.Status] {
	return api.List[api.Status]{Items: []api.Status{
		{Status: cd.Status{
			Application: "shop", Environment: "dev", Address: "127.0.0.1:40000", Version: "1.1.0", Promotion: 4, State: cd.Done, Stale: true,
			Digest: artifact.DigestOf([]byte("b")), Since: now.Add(-3 * time.Minute),
			Traffic: []cd.Traffic{{Version: "1.1.0", Weight: 100, Healthy: true}},
		}},
		{Expected: &api.Expected{Version: "1.1.0", Drifted: true}, Status: cd.Status{
			Application: "shop", Environment: "production", Address: "127.0.0.1:40001", Version: "1.0.0", Promotion: 6, State: cd.Waiting,
			Digest: artifact.DigestOf([]byte("a")), Since: now.Add(-50 * time.Hour), Coming: "1.1.0", Step: "pause 2s",
			Reason: "10 % until 15:00:02",
			Traffic: []cd.Traffic{
				{Version: "1.0.0", Digest: artifact.DigestOf([]byte("a")).String(), Weight: 90, Healthy: true, Figures: cd.Figures{Requests: 900, Errors: 0}},
				{Version: "1.1.0", Digest: artifact.DigestOf([]byte("b")).String(), Weight: 10, Reason: "exit 1", Figures: cd.Figures{Requests: 100, Errors: 7}},
			},
		}},
	}}
}

const canaryTable = `APPLICATION  ENVIRONMENT  VERSION  DIGEST        WEIGHT  SINCE  ADDRESS          STATE                                  REASON
shop         dev          1.1.0    3e23e8160039  100 %   3m     127.0.0.1:40000  done                                   config newer than deployed
shop         production   1.0.0    ca978112ca1b  -       2d     127.0.0.1:40001  1.1.0 waiting, promotion 6 (pause 2s)  10 % until 15:00:02; drifted: Git states 1.1.0
-              ↳          1.0.0    ca978112ca1b  90 %    -      -                healthy                                900 requests, 0 errors (0.0 %)
-              ↳          1.1.0    3e23e8160039  10 %    -      -                unhealthy: exit 1                      100 requests, 7 errors (7.0 %)
`

func TestStatusDuringCanary(t *testing.T) {
	out, talk, code := run(t.Context(), stub(t, map[string]any{"GET /api/v1/status": canary()}), false, "status")
	if code != 0 || talk != "" || out != canaryTable {
		t.Errorf("code %d, stderr %q, stdout:\n%s", code, talk, out)
	}
}

// pipe hands each write to the test.
type pipe struct {
	lines chan string
}

func (p *pipe) Write(b []byte) (int, error) {
	p.lines <- string(b)
	return len(b), nil
}

// A watch goes on until it is told to stop, and that is no failure.
func TestStatusWatch(t *testing.T) {
	server := stub(t, map[string]any{"GET /api/v1/status": canary()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := &pipe{lines: make(chan string)}
	code := make(chan int, 1)
	go func() {
		code <- cli.Run(ctx, []string{"status", "--watch"}, cli.IO{
			Out: p, Err: io.Discard, Now: func() time.Time { return now }, Getenv: func(name string) string {
				return map[string]string{"DRAWBRIDGE_SERVER": server}[name]
			},
		})
	}()
	heads := 0
	for heads < 2 {
		if strings.HasPrefix(<-p.lines, "APPLICATION") {
			heads++
		}
	}
	cancel()
	for {
		select {
		case <-p.lines:
		case got := <-code:
			if got != 0 {
				t.Errorf("exit code %d", got)
			}
			return
		}
	}
}

func TestRollbackFindsTheApplication(t *testing.T) {
	p := api.Promotion{ID: 9, Application: "shop", Environment: "production", Version: "1.0.0", State: cd.Queued}
	server := stub(t, map[string]any{
		"GET /api/v1/environments": api.List[api.Environment]{Items: []api.Environment{
			{Application: "shop", Name: "production"}, {Application: "shop", Name: "dev"}, {Application: "other", Name: "dev"},
		}},
		"POST /api/v1/environments/shop/production/rollback": p,
	})
	for _, name := range []string{"production", "shop/production"} {
		out, talk, code := run(t.Context(), server, false, "rollback", name, "-m", "worse")
		if code != 0 || out != "promotion 9 of shop 1.0.0 to production: queued\n" {
			t.Errorf("%s: code %d, %q, %q", name, code, out, talk)
		}
	}
	_, talk, code := run(t.Context(), server, false, "rollback", "dev")
	if code != 2 || !strings.Contains(talk, "shop and other have an environment dev") || !strings.Contains(talk, "hint: write shop/dev") {
		t.Errorf("code %d, %q", code, talk)
	}
}

// What a job or a commit says reaches the terminal of a person only as text.
func TestHostileText(t *testing.T) {
	log := "plain \x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2Jcleared \x1b[6n\x9b31m\rgone\n\x1b\x1b[1mbold\x1b[" + strings.Repeat("1", 100) + "m\n"
	server := stub(t, map[string]any{
		"GET /api/v1/runs/1/log": log,
		"GET /api/v1/runs":       api.List[api.Run]{Items: []api.Run{{ID: 1, Repository: "shop", Reason: "a\x1b[2J\tb\nc\x9b"}}},
	})
	out, _, code := run(t.Context(), server, true, "run", "logs", "1")
	if rest := strings.NewReplacer("\x1b[31m", "", "\x1b[0m", "", "\x1b[1m", "").Replace(out); code != 0 || strings.ContainsAny(rest, "\x1b\x07\r") {
		t.Errorf("code %d, terminal gets %q", code, out)
	}
	for _, want := range []string{"plain \x1b[31mred\x1b[0m", "cleared", "\x1b[1mbold", "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is lost in %q", want, out)
		}
	}
	if out, _, _ := run(t.Context(), server, false, "run", "logs", "1"); out != log {
		t.Errorf("a file gets %q", out)
	}
	if out, _, _ := run(t.Context(), server, false, "run", "list"); strings.ContainsAny(out, "\x1b\t") || strings.Contains(out, "\u009b") || strings.Count(out, "\n") != 2 {
		t.Errorf("the list is %q", out)
	}
}

// A server that misbehaves gives an error of one line and no panic.
func TestServersThatMisbehave(t *testing.T) {
	for name, answers := range map[string]map[string]any{
		"nothing":       {},
		"no JSON":       {"GET /api/v1/runs/1": "<html>"},
		"another shape": {"GET /api/v1/runs/1": `{"jobs": 7}`},
	} {
		_, talk, code := run(t.Context(), stub(t, answers), false, "run", "show", "1")
		if code != 10 || strings.Count(talk, "\n") != 2 || !strings.HasPrefix(talk, "drawbridge: ") {
			t.Errorf("%s: code %d, %q", name, code, talk)
		}
	}
	empty := stub(t, map[string]any{
		"GET /api/v1/runs/1": `{}`, "GET /api/v1/promotions/1": `{}`, "GET /api/v1/releases/x": `{}`, "GET /api/v1/handoffs/1": `{}`,
		"POST /api/v1/releases/x/verify": `{"ok": false}`, "GET /api/v1/status": `{}`,
	})
	for _, args := range []string{"run show 1", "promotion show 1", "release show x", "release verify x", "handoff show 1", "status"} {
		if _, talk, code := run(t.Context(), empty, false, strings.Fields(args)...); code == 1 {
			t.Errorf("%s: %s", args, talk)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// What could not be written was not done.
func TestOutputThatFails(t *testing.T) {
	var talk bytes.Buffer
	code := cli.Run(t.Context(), []string{"schema"}, cli.IO{Out: full{}, Err: &talk, Getenv: func(string) string { return "" }})
	if code != 1 || !strings.Contains(talk.String(), "no space left on device") {
		t.Errorf("code %d, %q", code, talk.String())
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, talk, code := run(ctx, "127.0.0.1:1", false, "status")
	if code != 130 || talk != "drawbridge: interrupted\n" {
		t.Errorf("code %d, %q", code, talk)
	}
}

// On a terminal a difference has colours, unless the person wants none.
func TestDiffColours(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.yaml")
	if err := os.WriteFile(file, []byte("kind: Delivery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := stub(t, map[string]any{"PUT /api/v1/deliveries": api.Applied{Name: "shop", Version: 2, Changed: true, Diff: "@@ -1 +1 @@\n-a\n+b\n"}})
	if out, talk, _ := run(t.Context(), server, true, "apply", "-f", file); !strings.Contains(out, "\x1b[31m-a\x1b[0m\n\x1b[32m+b\x1b[0m\nshop: version 2\n") {
		t.Errorf("%q, %q", out, talk)
	}
	if out, _, _ := run(t.Context(), server, false, "apply", "-f", file); strings.Contains(out, "\x1b") {
		t.Errorf("%q", out)
	}
}

func TestFileOverTheLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(file, make([]byte, api.MaxBody+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"lint", file}, {"apply", "-f", file}} {
		if _, talk, code := run(t.Context(), "127.0.0.1:1", false, args...); code != 9 || !strings.Contains(talk, "big.yaml: the file has more than 1048576 bytes") {
			t.Errorf("%v: code %d, %q", args, code, talk)
		}
	}
}

// No text in a file makes lint fail otherwise than by its problems.
func FuzzLint(f *testing.F) {
	for _, seed := range []string{"", "kind: Delivery", "kind: Trust\nsigners: 7", "on: push\njobs: {}", "kind: [", "\x00", "on:\n\tjobs", "kind: Delivery\nkind: Trust", "---\nkind: Policy\n--- # x\nkind: EnvironmentState\n", "kind: Receiver\n---\n---\non: push", "kind: Workload\nclaims: {a: 1}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var out, talk bytes.Buffer
		code := cli.Run(t.Context(), []string{"lint", "-"}, cli.IO{In: strings.NewReader(src), Out: &out, Err: &talk, Getenv: func(string) string { return "" }})
		if code != 0 && code != 2 && code != 9 || out.Len() != 0 || strings.ContainsAny(talk.String(), "\x1b\x00") {
			t.Errorf("code %d, stdout %q, stderr %q", code, out.String(), talk.String())
		}
	})
}

// The token that lies in a data directory goes to the server of that directory alone.
func TestFoundTokenStaysAtHome(t *testing.T) {
	got := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"items": []}`)
	}))
	defer s.Close()
	dir := t.TempDir()
	for address, want := range map[string]string{s.URL: "Bearer secret", "http://127.0.0.1:1": ""} {
		for name, text := range map[string]string{"address": address, "admin.token": "secret"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		code := cli.Run(t.Context(), []string{"token", "list", "--server", s.URL}, cli.IO{
			Out: io.Discard, Err: io.Discard, Getenv: func(name string) string { return map[string]string{"DRAWBRIDGE_DATA": dir}[name] },
		})
		if sent := <-got; code != 0 || sent != want {
			t.Errorf("the directory of %s: code %d, the server got %q, want %q", address, code, sent, want)
		}
	}
}
