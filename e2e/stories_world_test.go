package e2e_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web/api"
)

// world is what one script has: a server, people and visitors.
type world struct {
	programs
	t        *testing.T   // of all scripts
	script   testscript.T // of this one
	dir      string       // $WORK
	server   *process     // nil while none runs
	tokens   map[string]string
	visitors []func()
	accepted []int64    // events that were answered with 202
	follower chan error // the end of logs -f
	foreign  foreign
	issuer   *identitytest.Issuer
	secrets  map[string]string // of receivers, by name
	outcomes map[int64]bool    // handoffs whose end was waited for
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world {
	w, ok := ts.Value(worldKey{}).(*world)
	if !ok {
		ts.Fatalf("the script has no world")
	}
	return w
}

func (w *world) data() string { return filepath.Join(w.dir, "data") }

// end is called when the script has ended, however it did.
func (w *world) end() {
	for _, stop := range w.visitors {
		stop()
	}
	if w.server != nil {
		if err := w.server.stop(); err != nil {
			w.t.Errorf("the server of %s did not end cleanly: %v\n%s", filepath.Base(w.dir), err, w.server.tail())
		}
	}
	if err := w.foreign.end(); err != nil {
		w.t.Errorf("the foreign registry of %s did not end cleanly: %v", filepath.Base(w.dir), err)
	}
}

// usage ends the script unless there are at least n arguments.
func usage(ts *testscript.TestScript, neg bool, args []string, n int, text string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", text)
	}
}

func cmdToken(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "token NAME ROLE [FLAG...]")
	w := worldOf(ts)
	w.become(ts, "admin")
	if err := ts.Exec("drawbridge", append([]string{"token", "create", args[0], "--role", args[1]}, args[2:]...)...); err != nil {
		ts.Fatalf("token create: %v", err)
	}
	w.tokens[args[0]] = strings.TrimSpace(ts.ReadFile("stdout"))
	ts.Setenv("TOKEN_"+args[0], w.tokens[args[0]])
}

// become makes the next command a person's; "-" is somebody without a token.
func (w *world) become(ts *testscript.TestScript, name string) {
	secret, known := w.tokens[name]
	if !known && name != "-" {
		ts.Fatalf("%s has no token", name)
	}
	ts.Setenv("DRAWBRIDGE_TOKEN", secret)
}

func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "as NAME COMMAND...")
	w := worldOf(ts)
	w.become(ts, args[0])
	if err := ts.Exec("drawbridge", args[1:]...); err != nil {
		ts.Fatalf("drawbridge %s as %s: %v\n%s", strings.Join(args[1:], " "), args[0], err, w.tail())
	}
}

// tail is the end of what the server said.
func (w *world) tail() string {
	if w.server == nil {
		return ""
	}
	return w.server.tail()
}

func cmdRefuse(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "refuse CODE NAME COMMAND...")
	w := worldOf(ts)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	w.become(ts, args[1])
	err = ts.Exec("drawbridge", args[2:]...)
	var exit *exec.ExitError
	switch {
	case err == nil:
		ts.Fatalf("drawbridge %s as %s must be refused", strings.Join(args[2:], " "), args[1])
	case !errors.As(err, &exit) || exit.ExitCode() != want:
		ts.Fatalf("drawbridge %s as %s: %v, want exit code %d\n%s", strings.Join(args[2:], " "), args[1], err, want, w.tail())
	}
	if err := oneLineEach(ts.ReadFile("stderr")); err != nil {
		ts.Fatalf("drawbridge %s: %v", strings.Join(args[2:], " "), err)
	}
}

// oneLineEach is an error unless each complaint is one line, which at most a hint follows.
func oneLineEach(stderr string) error {
	complaints, after := 0, ""
	for line := range strings.Lines(stderr) {
		switch {
		case strings.HasPrefix(line, "drawbridge: "):
			complaints++
		case strings.HasPrefix(line, "hint: ") && strings.HasPrefix(after, "drawbridge: "):
		case complaints > 0:
			return fmt.Errorf("this stands behind the complaint: %q", line)
		}
		after = line
	}
	if complaints == 0 {
		return fmt.Errorf("no line begins with drawbridge: %q", stderr)
	}
	return nil
}

func cmdGit(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] git NAME ARGUMENT...")
	}
	err := worldOf(ts).git(ts, args[0], args[1:]...)
	if neg && err == nil {
		ts.Fatalf("git %s must be refused", strings.Join(args[1:], " "))
	}
	if !neg && err != nil {
		ts.Fatalf("git %s: %v", strings.Join(args[1:], " "), err)
	}
}

// git runs plain git, which shows a person's token as the password.
func (w *world) git(ts *testscript.TestScript, name string, args ...string) error {
	secret := w.tokens[name]
	for key, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0",
		"GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": name + "@example.com", "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": name + "@example.com",
		"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader",
		"GIT_CONFIG_VALUE_0": "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+secret)),
	} {
		ts.Setenv(key, value)
	}
	return ts.Exec("git", args...)
}

func cmdSample(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "sample NAME")
	w := worldOf(ts)
	dir := filepath.Join(w.dir, args[0])
	ts.Check(os.CopyFS(dir, os.DirFS("testdata/shop")))
	program, err := os.ReadFile(w.service)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "web"), program, 0o755))
	if err := w.git(ts, "-", "init", "-q", "-b", "main", dir); err != nil {
		ts.Fatalf("git init: %v", err)
	}
}

func cmdRelease(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "release VERSION [MODE]")
	w := worldOf(ts)
	dir, mode := filepath.Join(w.dir, "shop"), "healthy"
	if len(args) > 1 {
		mode = args[1]
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "VERSION"), []byte(args[0]+"\n"), 0o644))
	ts.Check(os.WriteFile(filepath.Join(dir, "mode"), []byte(mode+"\n"), 0o644))
	remote := ts.Getenv("DRAWBRIDGE_SERVER") + "/git/shop.git"
	for _, step := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "shop " + args[0]}, {"push", "-q", remote, "main"}} {
		if err := w.git(ts, "alice", append([]string{"-C", dir}, step...)...); err != nil {
			ts.Fatalf("git %s: %v\n%s", step[0], err, w.tail())
		}
	}
}

// cmdCIToken gives the name ci to the token with which this server's CI speaks to its bridge.
func cmdCIToken(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "ci-token")
	w := worldOf(ts)
	secret, err := os.ReadFile(filepath.Join(w.data(), "ci", "bridge.token"))
	ts.Check(err)
	w.tokens["ci"] = strings.TrimSpace(string(secret))
}

// cmdTokenID finds the id of a person's newest token.
func cmdTokenID(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "token-id NAME")
	tokens, err := list[api.Token](worldOf(ts), ts, "/api/v1/tokens")
	ts.Check(err)
	for _, t := range tokens {
		if t.Name == args[0] {
			ts.Setenv("TOKEN_ID", strconv.FormatInt(t.ID, 10))
			return
		}
	}
	ts.Fatalf("%s has no token", args[0])
}

// cmdSeedCache compiles in advance what the demo's first run would: for half a minute on a
// new machine, and in no time after that. It is what `make seed` does.
func cmdSeedCache(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "seed-cache")
	base, err := os.UserCacheDir()
	ts.Check(err)
	dir := filepath.Join(base, "drawbridge", "go-build")
	for _, step := range []string{"vet ./...", "test -coverprofile=/dev/null ./...", "build -trimpath -o /dev/null ."} {
		cmd := exec.Command("go", strings.Fields(step)...)
		cmd.Dir = filepath.Join("..", "examples", "shop")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOCACHE="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("go %s: %v\n%s", step, err, out)
		}
	}
	ts.Setenv("SEED", dir)
}

// cmdMorePages sets PAGES to N pages more than VALUE, which a statement has read.
func cmdMorePages(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "more-pages N")
	has, err := strconv.Atoi(ts.Getenv("VALUE"))
	ts.Check(err)
	more, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Setenv("PAGES", strconv.Itoa(has+more))
}

// cmdFollow starts logs -f, which writes to a file until the run has ended.
func cmdFollow(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "follow NAME RUN FILE")
	w := worldOf(ts)
	out, err := os.Create(ts.MkAbs(args[2]))
	ts.Check(err)
	cmd := exec.Command(w.drawbridge, "run", "logs", "-f", args[1])
	cmd.Env = []string{"DRAWBRIDGE_SERVER=" + ts.Getenv("DRAWBRIDGE_SERVER"), "DRAWBRIDGE_TOKEN=" + w.tokens[args[0]], "HOME=" + ts.Getenv("HOME")}
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	w.follower = make(chan error, 1)
	go func() { w.follower <- errors.Join(cmd.Wait(), out.Close()) }()
	w.visitors = append(w.visitors, func() { _ = cmd.Process.Kill() })
}

// cmdFollowed waits until logs -f has ended by itself.
func cmdFollowed(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "followed")
	select {
	case err := <-worldOf(ts).follower:
		ts.Check(err)
	case <-time.After(patience):
		ts.Fatalf("logs -f goes on after the end of its run")
	}
}
