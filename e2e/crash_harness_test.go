package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// crashDelivery has an environment that a trigger asks for, one that follows by itself,
// and one behind an approval and a canary.
const crashDelivery = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, signers: [ci], require: [signature, provenance, sbom]}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./PROGRAM], health: {http: /healthz, interval: 100ms}}}
  - name: staging
    after: [dev]
    auto: true
    target: {process: {artifact: web, command: [./PROGRAM], health: {http: /healthz, interval: 100ms}}}
  - name: production
    after: [staging]
    auto: true
    approval: {required: 1, exclude: [requester]}
    rollout: {canary: {steps: [{weight: 10}, {pause: 300ms}, {weight: 100}], undo: {errors: 0.9, requests: 3, timeout: 1m}}}
    target: {process: {artifact: web, command: [./PROGRAM], health: {http: /healthz, interval: 100ms}}}
`

const crashWorkflow = `name: ci
on: push
jobs:
  build:
    runs-on: linux
    steps:
      - uses: actions/checkout@v4
      - id: version
        run: echo "version=$(cat image/VERSION)" >> "$GITHUB_OUTPUT"
      - uses: drawbridge/publish@v1
        with: {image: shop/web, path: image, entrypoint: ./PROGRAM, tags: "${{ steps.version.outputs.version }}"}
`

// rig is a server that may be killed, and the people who use it.
type rig struct {
	t       *testing.T
	dir     string
	program string   // the drawbridge binary, of this test alone
	service string   // name of the deployed program, of this test alone
	flags   []string // of the server

	mu     sync.Mutex
	url    string
	tokens map[string]string // identity → secret
	node   *node
}

// node is one server process.
type node struct {
	cmd   *exec.Cmd
	ready chan string // its address, once; closed when it has ended
	ended chan error
	log   *capped
}

// capped keeps the end of what is written to it.
type capped struct {
	mu  sync.Mutex
	buf []byte
}

func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buf = append(c.buf, p...); len(c.buf) > 1<<20 {
		c.buf = slices.Clone(c.buf[len(c.buf)-1<<19:])
	}
	return len(p), nil
}

func (c *capped) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.buf[max(0, len(c.buf)-6000):])
}

// newRig builds the programs under names that no other process has. It starts nothing.
func newRig(t *testing.T, p programs, name string) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), tokens: map[string]string{},
		service: fmt.Sprintf("crash-%s-%d", name, os.Getpid()),
	}
	r.program = filepath.Join(r.dir, "drawbridge-"+name)
	body, err := os.ReadFile(p.drawbridge)
	if err == nil {
		err = os.WriteFile(r.program, body, 0o755)
	}
	if err == nil {
		err = os.Chmod(r.dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	return r
}

func (r *rig) data() string { return filepath.Join(r.dir, "data") }

// spawn starts a server process and does not wait for it.
func (r *rig) spawn() *node {
	r.t.Helper()
	n := &node{ready: make(chan string, 1), ended: make(chan error, 1), log: &capped{}}
	args := []string{"server", "--data", r.data(), "--listen", "127.0.0.1:0"}
	n.cmd = exec.Command(r.program, append(args, r.flags...)...)
	n.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "TMPDIR=" + os.TempDir()}
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := n.cmd.StderrPipe()
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.node = n
	r.mu.Unlock()
	go func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			_, _ = fmt.Fprintln(n.log, lines.Text())
			if _, address, ok := strings.Cut(lines.Text(), "drawbridge: ready on "); ok {
				n.ready <- address
			}
		}
		n.ended <- n.cmd.Wait()
		close(n.ready)
	}()
	return n
}

// start starts a server and returns once it is ready.
func (r *rig) start() *node {
	r.t.Helper()
	n := r.spawn()
	r.wait(n)
	return n
}

func (r *rig) wait(n *node) {
	r.t.Helper()
	select {
	case address, ok := <-n.ready:
		if !ok {
			r.t.Fatalf("the server ended before it was ready: %v\n%s", <-n.ended, n.log)
		}
		r.mu.Lock()
		r.url = address
		r.mu.Unlock()
	case <-time.After(patience):
		r.t.Fatalf("the server is not ready after %v\n%s", patience, n.log)
	}
}

// kill ends the server as a power cut would, and waits until all that it started is gone.
func (r *rig) kill(n *node) {
	r.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		r.t.Errorf("the server ended by itself: %v\n%s", <-n.ended, n.log)
		return
	}
	<-n.ended //nolint:errcheck // it was killed
	for _, sign := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(n.log.String(), sign) {
			r.t.Errorf("the server said %s\n%s", sign, n.log)
		}
	}
	if _, err := poll(r.t.Context(), func() (struct{}, string, error) {
		left, err := r.remains()
		return struct{}{}, strings.Join(left, "\n"), err
	}); err != nil {
		r.t.Errorf("processes of a dead server go on: %v", err)
	}
}

// stop ends the server in order.
func (r *rig) stop(n *node) {
	r.t.Helper()
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-n.ended:
		if err != nil {
			r.t.Errorf("after SIGTERM: %v\n%s", err, n.log)
		}
	case <-time.After(patience):
		_ = n.cmd.Process.Kill()
		r.t.Errorf("the server goes on %v after SIGTERM\n%s", patience, n.log)
	}
	if left, err := r.remains(); err != nil || len(left) > 0 {
		r.t.Errorf("a stopped server leaves processes: %v\n%s", err, strings.Join(left, "\n"))
	}
}

// end is for a test that gave up.
func (r *rig) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.node != nil && r.node.cmd.ProcessState == nil {
		_ = r.node.cmd.Process.Kill()
	}
	if r.t.Failed() && r.node != nil {
		r.t.Logf("the last server said:\n%s", r.node.log)
	}
}

// remains lists the processes that run this rig's program or its deployed service.
func (r *rig) remains() ([]string, error) {
	list, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range list {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if what := r.ours(e.Name()); what != "" {
			out = append(out, e.Name()+" "+what)
		}
	}
	return out, nil
}

// ours says what a process of this rig is, "" for any other and for one that is dead.
func (r *rig) ours(pid string) string {
	line, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil || len(line) == 0 {
		return ""
	}
	exe, _ := os.Readlink("/proc/" + pid + "/exe")
	text := strings.ReplaceAll(string(line), "\x00", " ")
	if strings.Contains(text, r.service) || strings.Contains(text, r.program) || exe == r.program {
		return text
	}
	return ""
}

// instances counts the deployed services that run.
func (r *rig) instances() int {
	left, err := r.remains()
	if err != nil {
		r.t.Error(err)
	}
	return len(slices.DeleteFunc(left, func(s string) bool { return !strings.Contains(s, r.service) }))
}

// api is a client of the server that runs now.
func (r *rig) api(as string) *client.Client {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := client.New(client.Config{Server: r.url, Token: r.tokens[as], HTTP: &http.Client{Timeout: 20 * time.Second}})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// staff gives people their tokens; the server's first one is admin.
func (r *rig) staff(people map[string]identity.Role) {
	r.t.Helper()
	first, err := os.ReadFile(filepath.Join(r.data(), "admin.token"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.tokens["admin"] = strings.TrimSpace(string(first))
	for name, role := range people {
		var made api.CreatedToken
		if err := r.api("admin").Send(r.t.Context(), http.MethodPost, "/api/v1/tokens", api.NewToken{Name: name, Role: role}, &made); err != nil {
			r.t.Fatal(err)
		}
		r.tokens[name] = made.Secret
	}
}

// tree makes alice's work tree of the shop.
func (r *rig) tree(service string) {
	r.t.Helper()
	body, err := os.ReadFile(service)
	if err != nil {
		r.t.Fatal(err)
	}
	for file, text := range map[string][]byte{
		"image/" + r.service:              body,
		".drawbridge/workflows/ci.yaml":   []byte(strings.ReplaceAll(crashWorkflow, "PROGRAM", r.service)),
		"delivery.yaml":                   []byte(r.delivery()),
		"image/mode":                      []byte("healthy\n"),
		"image/README":                    []byte("the shop\n"),
		".drawbridge/workflows/.keep.txt": nil,
	} {
		r.write(file, text)
	}
	if _, err := r.git(r.t.Context(), "init", "-q", "-b", "main"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) delivery() string { return strings.ReplaceAll(crashDelivery, "PROGRAM", r.service) }

func (r *rig) write(file string, body []byte) {
	r.t.Helper()
	path := filepath.Join(r.dir, "work", file)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, body, 0o755)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// git runs plain git as alice in her work tree.
func (r *rig) git(ctx context.Context, args ...string) (string, error) {
	r.mu.Lock()
	login := base64.StdEncoding.EncodeToString([]byte("alice:" + r.tokens["alice"]))
	r.mu.Unlock()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = filepath.Join(r.dir, "work")
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.com",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic " + login,
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

// commit makes a commit of a version and returns its name.
func (r *rig) commit(ctx context.Context, version string) (string, error) {
	if err := os.WriteFile(filepath.Join(r.dir, "work", "image", "VERSION"), []byte(version+"\n"), 0o644); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", "shop " + version}} {
		if _, err := r.git(ctx, args...); err != nil {
			return "", err
		}
	}
	return r.git(ctx, "rev-parse", "HEAD")
}

// push pushes main to the server that runs now.
func (r *rig) push(ctx context.Context) error {
	r.mu.Lock()
	remote := r.url + "/git/shop.git"
	r.mu.Unlock()
	_, err := r.git(ctx, "push", "-q", remote, "main")
	return err
}

var errGaveUp = errors.New("it did not come about")

// poll asks until nothing is in the way any more. An error of ask ends it.
func poll[T any](ctx context.Context, ask func() (v T, inTheWay string, err error)) (T, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	over := time.After(patience)
	for {
		v, inTheWay, err := ask()
		if err != nil || inTheWay == "" {
			return v, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return v, context.Cause(ctx)
		case <-over:
			return v, fmt.Errorf("%w within %v: %s", errGaveUp, patience, inTheWay)
		}
	}
}

// all reads every item of a list.
func all[T any](t *testing.T, c *client.Client, path string) []T {
	t.Helper()
	var out []T
	for v, err := range client.Each[T](t.Context(), c, path) {
		if err != nil {
			t.Fatalf("list %s: %v", path, err)
		}
		out = append(out, v)
	}
	return out
}

// fetch asks an environment for its version.
func fetch(ctx context.Context, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var says struct {
		Version string `json:"version"`
	}
	err = errors.Join(json.NewDecoder(resp.Body).Decode(&says), statusOK(resp))
	return says.Version, err
}

func statusOK(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
