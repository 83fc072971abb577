package demo

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"drawbridge/examples"
)

// worktree is where alice works on a repository.
func (s *story) worktree(repository string) string { return filepath.Join(s.dir, "work", repository) }

// git runs plain git in a work tree, with somebody's token as the password. The token
// goes through the environment: it stands in no argument and in no file.
func (s *story) git(ctx context.Context, as, repository string, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...) //nolint:gosec // arguments of our own
	cmd.Dir = s.worktree(repository)
	login := base64.StdEncoding.EncodeToString([]byte(as + ":" + s.tokens[as]))
	cmd.Env = append(clean(os.Environ()),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Alice", "GIT_AUTHOR_EMAIL=alice@example.com", "GIT_COMMITTER_NAME=Alice", "GIT_COMMITTER_EMAIL=alice@example.com",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+login)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// create makes a repository on the server and an empty one to work in.
func (s *story) create(ctx context.Context, repository string) error {
	if _, err := s.command(ctx, "ops", "repo", "create", repository); err != nil {
		return err
	}
	if err := os.MkdirAll(s.worktree(repository), 0o755); err != nil { //nolint:gosec // source code
		return err
	}
	return s.git(ctx, "alice", repository, "init", "-q", "-b", "main")
}

// commit commits the work tree and pushes it to main.
func (s *story) commit(ctx context.Context, repository, message string) error {
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "-m", message}, {"push", "-q", s.remote(repository), "main"}} {
		if err := s.git(ctx, "alice", repository, args...); err != nil {
			return err
		}
	}
	return nil
}

// edit replaces text in a file of the sample; text that is not there is an error.
func (s *story) edit(file, old, text string) error {
	path := filepath.Join(s.worktree("shop"), filepath.FromSlash(file))
	body, err := os.ReadFile(path) //nolint:gosec // a file of the demo's own
	if err != nil {
		return err
	}
	if !strings.Contains(string(body), old) {
		return fmt.Errorf("%s holds no %q", file, old)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(body), old, text, 1)), 0o644) //nolint:gosec // source code
}

// release commits the sample as another version.
func (s *story) release(ctx context.Context, version, message string) error {
	path := filepath.Join(s.worktree("shop"), "VERSION")
	if err := os.WriteFile(path, []byte(version+"\n"), 0o644); err != nil { //nolint:gosec // source code
		return err
	}
	return s.commit(ctx, "shop", message)
}

// push is the second step: alice's first push.
func (s *story) push(ctx context.Context) (string, error) {
	if err := s.create(ctx, "shop"); err != nil {
		return "", err
	}
	if err := examples.WriteShop(s.worktree("shop")); err != nil {
		return "", err
	}
	if _, err := s.command(ctx, "ops", "apply", "-f", filepath.Join(s.worktree("shop"), "delivery.yaml")); err != nil {
		return "", err
	}
	if err := s.commit(ctx, "shop", "shop: the first version"); err != nil {
		return "", err
	}
	return "$ git push " + s.remote("shop") + " main", nil
}

// stranger pushes another repository that publishes under shop's name.
func (s *story) stranger(ctx context.Context) error {
	if err := s.create(ctx, "evil"); err != nil {
		return err
	}
	dir := filepath.Join(s.worktree("evil"), ".drawbridge", "workflows")
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // source code
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "ci.yaml"), []byte(strangersWorkflow), 0o644); err != nil { //nolint:gosec // source code
		return err
	}
	return s.commit(ctx, "evil", "evil: the shop, as we would have it")
}

const strangersWorkflow = `name: ci
on: push
jobs:
  build:
    runs-on: linux
    steps:
      - run: mkdir dist && echo '#!/bin/sh' > dist/web && chmod +x dist/web
      - uses: drawbridge/publish@v1
        with: {image: shop/web, path: dist, entrypoint: ./web, tags: 2.0.0}
`
