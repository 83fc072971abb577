package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi" //nolint:gosec // G504 is about Go before 1.6.3
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/web/api"
)

const (
	pushRounds = 15
	lineRounds = 5
	lines      = 100_000
)

// push measures what a push costs: a run whose only step does nothing, and one that logs
// 100,000 lines. The baseline is the same push of the same commit into a bare repository
// behind git http-backend, and the step's command in plain sh.
func (b *bench) push(ctx context.Context) (err error) {
	b.say("push and run")
	s, err := b.open(ctx, filepath.Join(b.dir, "push"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	plain, err := b.plainGit(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	if err := b.trivial(ctx, s, "http://"+plain.Addr().String()); err != nil {
		return err
	}
	return b.lines(ctx, s)
}

// trivial is push → run finished for a job of one step that does nothing.
func (b *bench) trivial(ctx context.Context, s *server, plain string) error {
	w := &worktree{dir: filepath.Join(b.dir, "trivial"), server: s}
	if err := w.create(ctx, b.program, "trivial", "true"); err != nil {
		return err
	}
	var whole, answered, after, bare, sh, shAlone series
	for i := range pushRounds + 1 {
		if err := w.git(ctx, "commit", "-q", "--allow-empty", "-m", fmt.Sprint("round ", i)); err != nil {
			return err
		}
		began := b.now()
		if err := w.git(ctx, "push", "-q", plain+"/trivial.git", "main"); err != nil {
			return err
		}
		pushed := b.since(began)
		began = b.now()
		if err := exec.CommandContext(ctx, "sh", "-c", "true").Run(); err != nil {
			return err
		}
		ran := b.since(began)

		began = b.now()
		if err := w.push(ctx); err != nil {
			return err
		}
		returned := b.since(began)
		run, err := w.run(ctx)
		if err != nil {
			return err
		}
		if i == 0 {
			continue // the first round makes what later ones find
		}
		finished := run.Ended.Sub(began)
		whole.add(finished)
		answered.add(returned)
		after.add(finished - returned)
		bare.add(pushed)
		sh.add(pushed + ran)
		shAlone.add(ran)
	}
	const group = "Push to run finished (one step, `run: true`)"
	b.rows = append(b.rows,
		row{group: group, what: "`git push` → run succeeded", got: whole, plain: "plain `git push` + `sh -c true`", baseline: sh},
		row{group: group, what: "`git push` returns", got: answered, plain: "plain `git push`", baseline: bare},
		row{group: group, what: "`git push` has returned → run succeeded", got: after, plain: "`sh -c true`", baseline: shAlone},
	)
	return nil
}

// lines is a job that logs 100,000 lines.
func (b *bench) lines(ctx context.Context, s *server) error {
	command := fmt.Sprintf("seq 1 %d", lines)
	w := &worktree{dir: filepath.Join(b.dir, "lines"), server: s}
	if err := w.create(ctx, b.program, "lines", command); err != nil {
		return err
	}
	var logged, file series
	for i := range lineRounds {
		began := b.now()
		if err := exec.CommandContext(ctx, "sh", "-c", command+" > "+filepath.Join(b.dir, "lines.txt")).Run(); err != nil { //nolint:gosec // a command of our own
			return err
		}
		file.add(b.since(began))
		if err := w.git(ctx, "commit", "-q", "--allow-empty", "-m", fmt.Sprint("round ", i)); err != nil {
			return err
		}
		if err := w.push(ctx); err != nil {
			return err
		}
		run, err := w.run(ctx)
		if err != nil {
			return err
		}
		logged.add(run.Ended.Sub(*run.Started))
		if err := s.holds(ctx, run.ID); err != nil {
			return err
		}
	}
	b.rows = append(b.rows, row{
		group: "A job that logs 100,000 lines", what: "run started → run succeeded, every line kept", got: logged,
		plain: "`sh -c 'seq 1 100000 > FILE'`", baseline: file,
	})
	return nil
}

// holds is an error unless the log of a run has every line.
func (s *server) holds(ctx context.Context, run int64) error {
	log, err := s.api.Open(ctx, fmt.Sprintf("/api/v1/runs/%d/log", run))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(log)
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	if n := strings.Count(string(text), "\n"); n < lines {
		return fmt.Errorf("the log of run %d has %d lines, want %d at least", run, n, lines)
	}
	return nil
}

// plainGit serves bare repositories over git http-backend and nothing else.
func (b *bench) plainGit(ctx context.Context) (net.Listener, error) {
	root := filepath.Join(b.dir, "bare")
	if err := exec.CommandContext(ctx, "git", "init", "-q", "--bare", filepath.Join(root, "trivial.git")).Run(); err != nil { //nolint:gosec // our own directory
		return nil, err
	}
	if err := exec.CommandContext(ctx, "git", "-C", filepath.Join(root, "trivial.git"), "config", "http.receivepack", "true").Run(); err != nil { //nolint:gosec // our own directory
		return nil, err
	}
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	handler := &cgi.Handler{Path: program, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1"}}
	go func() { _ = (&http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}).Serve(l) }() // until l is closed
	return l, nil
}

// worktree is a Git work tree whose origin is a repository of the server.
type worktree struct {
	dir    string
	server *server
	name   string
	last   int64 // id of the run before
}

// create makes the repository and the work tree, with a workflow of one step.
func (w *worktree) create(ctx context.Context, program, name, command string) error {
	w.name = name
	if _, err := w.server.command(ctx, program, "repo", "create", name); err != nil {
		return err
	}
	flows := filepath.Join(w.dir, ".drawbridge", "workflows")
	if err := os.MkdirAll(flows, 0o700); err != nil {
		return err
	}
	text := fmt.Sprintf("name: ci\non: push\njobs:\n  one:\n    runs-on: linux\n    steps:\n      - run: '%s'\n", command)
	if err := os.WriteFile(filepath.Join(flows, "ci.yaml"), []byte(text), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "first"}} {
		if err := w.git(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (w *worktree) push(ctx context.Context) error {
	return w.git(ctx, "push", "-q", w.server.address+"/git/"+w.name+".git", "main")
}

// git runs plain git, the server's token as its password.
func (w *worktree) git(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // arguments of our own
	cmd.Dir = w.dir
	cmd.Env = append(environment(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Bench", "GIT_AUTHOR_EMAIL=bench@example.com", "GIT_COMMITTER_NAME=Bench", "GIT_COMMITTER_EMAIL=bench@example.com",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte("bench:"+w.server.token)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// run waits for the run of the last push to succeed.
func (w *worktree) run(ctx context.Context) (api.Run, error) {
	var run api.Run
	err := until(ctx, "the end of a run of "+w.name, func() (bool, string, error) {
		var page api.List[api.Run]
		if err := w.server.api.Get(ctx, "/api/v1/runs?limit=1&repository="+w.name, &page); err != nil {
			return false, "", err
		}
		if len(page.Items) == 0 || page.Items[0].ID == w.last {
			return false, "no run began", nil
		}
		run = page.Items[0]
		if run.Ended != nil && run.State != ci.RunSucceeded {
			return false, "", fmt.Errorf("run %d %s: %s", run.ID, run.State, run.Reason)
		}
		return run.Ended != nil, "run " + string(run.State), nil
	})
	w.last = run.ID
	return run, err
}
