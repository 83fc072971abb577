package forge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// maxOutput bounds what one git command may print, in bytes.
const maxOutput = 64 << 20

// settings are git's configuration for every call: the repositories' own files hold none
// of it, so that all of them follow this table.
func (f *Forge) settings() [][2]string {
	return [][2]string{
		{"core.logAllRefUpdates", "always"}, // the reflog says who pushed
		{"core.fsync", "all"},               // what was acknowledged is on the disk
		{"gc.autoDetach", "false"},          // nothing runs on after a request
		{"gc.pruneExpire", "never"},         // a run's commit stays, even if its branch is gone
		{"gc.reflogExpire", "never"},
		{"gc.reflogExpireUnreachable", "never"},
		{"http.getanyfile", "false"}, // smart HTTP only
		{"http.maxRequestBuffer", "10m"},
		{"http.receivepack", "true"},
		{"pack.threads", "1"},
		{"pack.windowMemory", "64m"},
		{"protocol.allow", "never"}, // the server fetches from nowhere
		{"receive.fsckObjects", "true"},
		{"receive.maxInputSize", strconv.FormatInt(f.cfg.MaxPush, 10)},
		{"transfer.fsckObjects", "true"},
	}
}

// environ is the whole environment of a git command: nothing of the server's own is in it.
func (f *Forge) environ(settings ...[2]string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_LITERAL_PATHSPECS=1", "GIT_NO_REPLACE_OBJECTS=1",
	}
	all := append(f.settings(), settings...)
	env = append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(len(all)))
	for i, kv := range all {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+kv[0], "GIT_CONFIG_VALUE_"+n+"="+kv[1])
	}
	return env
}

// command is a git command in a repository (a path, or "" for none) that ends with ctx.
func (f *Forge) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	if dir != "" {
		args = append([]string{"--git-dir=" + dir}, args...)
	}
	cmd := exec.CommandContext(ctx, f.git, args...) //nolint:gosec // git alone, with checked arguments
	cmd.Env = f.environ()
	cmd.Dir = f.cfg.Dir
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run returns what a git command prints.
func (f *Forge) run(ctx context.Context, dir string, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := f.command(ctx, dir, args...)
	cmd.Stdin = stdin
	out := &limited{left: maxOutput}
	if err := execute(ctx, cmd, out); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// execute runs cmd with its output to out. An error carries the first line of what it complained.
func execute(ctx context.Context, cmd *exec.Cmd, out io.Writer) error {
	stderr := &limited{left: 4 << 10, cut: true}
	cmd.Stdout, cmd.Stderr = out, stderr
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	return fmt.Errorf("git %s: %w: %s", verb(cmd.Args), err, line)
}

func verb(args []string) string {
	for _, a := range args[1:] {
		if !strings.HasPrefix(a, "--") {
			return a
		}
	}
	return ""
}

// exited reports whether err is a git command that said no, not one that could not be run.
func exited(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Exited()
}

// limited keeps at most left bytes; more is an error, or with cut is dropped.
type limited struct {
	bytes.Buffer
	left int
	cut  bool
}

// Write keeps what fits.
func (l *limited) Write(p []byte) (int, error) {
	keep := p[:min(len(p), l.left)]
	l.left -= len(keep)
	l.Buffer.Write(keep)
	if len(keep) < len(p) && !l.cut {
		return len(keep), errors.New("git prints more than is read")
	}
	return len(p), nil
}
