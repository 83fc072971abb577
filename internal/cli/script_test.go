package cli_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/ci"
	"drawbridge/internal/cli"
	"drawbridge/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){"drawbridge": func() {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		code := cli.Run(ctx, os.Args[1:], cli.IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: "1.2.3"})
		stop()
		os.Exit(code)
	}})
}

// The scripts run the command as a process of its own, against a server that is one too.
// UPDATE_SCRIPTS=1 writes what they compare with anew.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // each command is a process of its own
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
			e.Setenv("GIT_AUTHOR_NAME", "alice")
			e.Setenv("GIT_AUTHOR_EMAIL", "alice@example.com")
			e.Setenv("GIT_COMMITTER_NAME", "alice")
			e.Setenv("GIT_COMMITTER_EMAIL", "alice@example.com")
			e.Setenv("GIT_TERMINAL_PROMPT", "0")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve": serve, "exit": exit, "json": isJSON, "capture": capture, "exports": exports, "until": until, "post": deliver,
		},
		Condition: func(cond string) (bool, error) { return cond == "sandbox" && hasSandbox(t), nil },
	})
}

// hasSandbox reports whether jobs can be kept apart here; in CI they must.
func hasSandbox(t *testing.T) bool {
	s, err := sandbox.New(sandbox.Config{Dir: t.TempDir()})
	if err == nil {
		var facts ci.Facts
		facts, err = s.Facts(t.Context())
		_ = s.Close(context.Background())
		if err == nil && facts.Isolation != "" {
			return true
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no sandbox: %v", err)
	}
	t.Logf("no sandbox here (%v): the scripts that need one are left out", err)
	return false
}

// serve starts a server in $WORK/data, stops it cleanly when the script ends, and sets
// DRAWBRIDGE_SERVER and DRAWBRIDGE_TOKEN. Arguments go to the server.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	program, err := exec.LookPath(filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "drawbridge"))
	ts.Check(err)
	data := ts.MkAbs("data")
	cmd := exec.Command(program, append([]string{"server", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "GORACE=atexit_sleep_ms=0"}
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ready, done := make(chan string, 1), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if _, address, found := strings.Cut(lines.Text(), "drawbridge: ready on "); found {
				ready <- address
			}
		}
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		if err := cmd.Wait(); err != nil {
			ts.Logf("the server's log:\n%s", log.String())
			ts.Check(err)
		}
	})
	select {
	case address := <-ready:
		ts.Setenv("DRAWBRIDGE_SERVER", address)
	case <-done:
		ts.Fatalf("the server did not start:\n%s", log.String())
	}
	token, err := os.ReadFile(filepath.Join(data, "admin.token"))
	ts.Check(err)
	ts.Setenv("DRAWBRIDGE_TOKEN", strings.TrimSpace(string(token)))
}

// exit CODE ARGS… runs drawbridge and wants this exit code.
func exit(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec("drawbridge", args[1:]...)
	code := "0"
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = itoa(e.ExitCode())
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if (code == args[0]) == neg {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// json wants JSON in a file.
func isJSON(ts *testscript.TestScript, neg bool, args []string) {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &v); (err == nil) == neg {
		ts.Fatalf("%s: %v\n%s", args[0], err, ts.ReadFile(args[0]))
	}
}

// capture NAME FILE sets a variable to what a file holds.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// until TEXT ARGS… runs drawbridge again until its output holds the text. The test's own
// time limit bounds it.
func until(ts *testscript.TestScript, neg bool, args []string) {
	for {
		err := ts.Exec("drawbridge", args[1:]...)
		if err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
	}
}

// exports starts a server that has nothing but audit logs: the files ci.jsonl and cd.jsonl
// of the script, as they are when they are asked for. It sets DRAWBRIDGE_SERVER.
func exports(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(".")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(filepath.Join(dir, r.URL.Query().Get("plane")+".jsonl"))
		if r.URL.Path != "/api/v1/audit/export" || err != nil {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"kind":"not-found","detail":"this server has no such plane","status":404}`))
			return
		}
		_, _ = w.Write(b)
	}))
	ts.Defer(s.Close)
	ts.Setenv("DRAWBRIDGE_SERVER", s.URL)
}

// post ADDRESS FILE HEADER… posts a file to an address of the server and wants it to be taken;
// with ! it wants it to be refused.
func deliver(ts *testscript.TestScript, neg bool, args []string) {
	address := args[0]
	if strings.HasPrefix(address, "/") {
		address = ts.Getenv("DRAWBRIDGE_SERVER") + address
	}
	req, err := http.NewRequest(http.MethodPost, address, strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	for _, h := range args[2:] {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	ts.Check(resp.Body.Close())
	if (resp.StatusCode < 300) == neg {
		ts.Fatalf("%s answers %s", args[0], resp.Status)
	}
}
