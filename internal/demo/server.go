package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"drawbridge/internal/web/client"
)

// story is the state that the steps share.
type story struct {
	Options
	dir     string
	url     string            // of the server
	tokens  map[string]string // identity → secret
	server  *exec.Cmd
	ended   chan error // what the server's end was
	api     *client.Client
	traffic *traffic
}

// start starts the server for the first time and makes the three identities.
func (s *story) start(ctx context.Context) (string, error) {
	if err := s.serve(ctx, s.listen()); err != nil {
		return "", err
	}
	admin, err := os.ReadFile(filepath.Join(s.data(), "admin.token"))
	if err != nil {
		return "", err
	}
	s.tokens = map[string]string{"admin": strings.TrimSpace(string(admin))}
	for _, id := range []struct{ name, role string }{{"alice", "developer"}, {"bob", "approver"}, {"ops", "admin"}} {
		secret, err := s.command(ctx, "admin", "token", "create", id.name, "--role", id.role)
		if err != nil {
			return "", err
		}
		s.tokens[id.name] = strings.TrimSpace(secret)
		if err := os.WriteFile(s.tokenFile(id.name), []byte(s.tokens[id.name]+"\n"), 0o600); err != nil {
			return "", err
		}
	}
	if s.api, err = client.New(client.Config{Server: s.url, Token: s.tokens["ops"]}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: SQLite for both planes, a registry, Git over HTTP\nalice is a developer, bob an approver, ops an admin", s.url), nil
}

func (s *story) data() string { return filepath.Join(s.dir, "data") }

func (s *story) listen() string {
	if s.Listen == "" {
		return "127.0.0.1:0"
	}
	return s.Listen
}

// serve starts the server process and returns once it says that it is ready.
func (s *story) serve(ctx context.Context, address string) error {
	args := []string{"server", "--data", s.data(), "--listen", address}
	if s.SeedCache != "" {
		args = append(args, "--seed-cache", s.SeedCache)
	}
	cmd := exec.Command(s.Program, args...) //nolint:gosec,noctx // our own binary; it outlives the step
	cmd.Env = clean(os.Environ())
	// The server must not die of the Ctrl-C that ends the demo: the demo stops it in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	s.server, s.ended = cmd, make(chan error, 1)
	go s.watch(cmd, stderr, ready)
	select {
	case s.url = <-ready:
		if s.url == "" {
			return errors.Join(errors.New("the server ended before it was ready"), <-s.ended)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch copies what the server logs, and reports its address and its end.
func (s *story) watch(cmd *exec.Cmd, stderr io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, _ = fmt.Fprintln(s.Log, lines.Text())
		if _, address, ok := strings.Cut(lines.Text(), "ready on "); ok {
			ready <- strings.TrimSpace(address)
		}
	}
	err := cmd.Wait()
	close(ready)
	s.ended <- err
}

// clean is the environment without what would point a command at another server.
func clean(env []string) []string {
	var out []string
	for _, e := range env {
		if !strings.HasPrefix(e, "DRAWBRIDGE_") {
			out = append(out, e)
		}
	}
	return out
}

// kill ends the server as a power cut would.
func (s *story) kill() {
	_ = s.server.Process.Kill()
	//nolint:errcheck // "signal: killed", as it should
	<-s.ended
}

// end stops the server in order and removes the directory.
func (s *story) end() error {
	s.traffic.stop()
	if s.server != nil && s.server.ProcessState == nil {
		_ = s.server.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-s.ended:
			return errors.Join(err, os.RemoveAll(s.dir))
		case <-time.After(time.Minute):
			s.kill()
		}
	}
	return os.RemoveAll(s.dir)
}

// refusal is a command that ended with an exit code.
type refusal struct {
	args   string
	code   int
	stderr string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("drawbridge %s ended with %d: %s", r.args, r.code, strings.TrimSpace(r.stderr))
}

// command runs the drawbridge command line as an identity and returns what it prints.
func (s *story) command(ctx context.Context, as string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Program, args...) //nolint:gosec // our own binary
	cmd.Env = append(clean(os.Environ()), "DRAWBRIDGE_SERVER="+s.url, "DRAWBRIDGE_TOKEN="+s.tokens[as], "XDG_STATE_HOME="+filepath.Join(s.dir, "state"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &stdout, &stderr, s.dir
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", &refusal{strings.Join(args, " "), exit.ExitCode(), stderr.String()}
	}
	return stdout.String(), err
}

// mustRefuse runs a command that has to end with an exit code, and returns the one line that it says.
func (s *story) mustRefuse(ctx context.Context, code int, as string, args ...string) (string, error) {
	_, err := s.command(ctx, as, args...)
	var r *refusal
	if !errors.As(err, &r) {
		return "", errors.Join(fmt.Errorf("drawbridge %s as %s must be refused", strings.Join(args, " "), as), err)
	}
	if r.code != code {
		return "", fmt.Errorf("want exit code %d: %w", code, r)
	}
	for line := range strings.Lines(r.stderr) {
		if says, ok := strings.CutPrefix(line, "drawbridge: "); ok {
			return strings.TrimSpace(says), nil
		}
	}
	return "", fmt.Errorf("it does not say why: %w", r)
}

// remote is where git pushes a repository.
func (s *story) remote(repository string) string {
	u, err := url.JoinPath(s.url, "git", repository+".git")
	if err != nil {
		return s.url
	}
	return u
}
