package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"drawbridge/internal/web/client"
)

// process is a program that runs until it is stopped.
type process struct {
	cmd     *exec.Cmd
	address string        // what it said after "ready on"
	took    time.Duration // from its start until it said so
	ended   chan error
}

// launch starts a program and returns once it says, on stdout or stderr, that it is ready.
func (b *bench) launch(ctx context.Context, env []string, program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...) //nolint:gosec,noctx // our own binaries; stop ends them
	cmd.Env = append(environment(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = in, in
	p := &process{cmd: cmd, ended: make(chan error, 1)}
	began := b.now()
	if err := errors.Join(cmd.Start(), in.Close()); err != nil {
		return nil, err
	}
	type line struct {
		text string
		at   time.Time
	}
	ready, last := make(chan line, 1), &bytes.Buffer{}
	go func() {
		said := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if !said && strings.Contains(lines.Text(), "ready on ") {
				said = true
				ready <- line{lines.Text(), b.now()}
			}
			if !said {
				_, _ = fmt.Fprintln(last, lines.Text()) // a buffer takes all
			}
		}
		_, _ = io.Copy(io.Discard, out) // after a line too long
		err := errors.Join(cmd.Wait(), out.Close())
		close(ready)
		p.ended <- err
	}()
	select {
	case l, ok := <-ready:
		if !ok {
			return nil, fmt.Errorf("%s ended before it was ready: %w\n%s", filepath.Base(program), <-p.ended, last)
		}
		_, p.address, _ = strings.Cut(l.text, "ready on ")
		p.took = l.at.Sub(began)
		return p, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), p.stop())
	}
}

// stop ends the program in order and waits for it.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := <-p.ended
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys() == syscall.WaitStatus(syscall.SIGTERM) {
		return nil // a program that has nothing to put in order
	}
	return err
}

// server is a running Drawbridge server with an admin who may use all of it.
type server struct {
	*process
	data  string
	token string
	api   *client.Client
}

// serve starts a server on a data directory.
func (b *bench) serve(ctx context.Context, data string, args ...string) (*process, error) {
	return b.launch(ctx, nil, b.program, append([]string{"server", "--data", data, "--listen", "127.0.0.1:0"}, args...)...)
}

// open starts a server on a new data directory and makes its admin.
func (b *bench) open(ctx context.Context, data string, args ...string) (*server, error) {
	p, err := b.serve(ctx, data, args...)
	if err != nil {
		return nil, err
	}
	s := &server{process: p, data: data}
	if err := s.login(ctx, b.program); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return s, nil
}

func (s *server) login(ctx context.Context, program string) error {
	first, err := os.ReadFile(filepath.Join(s.data, "admin.token"))
	if err != nil {
		return err
	}
	s.token = strings.TrimSpace(string(first))
	made, err := s.command(ctx, program, "token", "create", "bench", "--role", "admin")
	if err != nil {
		return err
	}
	s.token = strings.TrimSpace(made)
	s.api, err = client.New(client.Config{Server: s.address, Token: s.token})
	return err
}

// command runs the command line against the server.
func (s *server) command(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // our own binary
	cmd.Env = append(environment(), "DRAWBRIDGE_SERVER="+s.address, "DRAWBRIDGE_TOKEN="+s.token, "XDG_STATE_HOME="+s.data+".state")
	var out, wrong bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &wrong
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("drawbridge %s: %w: %s", strings.Join(args, " "), err, wrong.Bytes())
	}
	return out.String(), nil
}

// environment is ours, without what would point a command at another server.
func environment() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "DRAWBRIDGE_") {
			out = append(out, e)
		}
	}
	return out
}

// until asks every 20 ms until there is an answer; seen is told when ctx ends first.
func until(ctx context.Context, what string, ask func() (ok bool, seen string, err error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, seen, err := ask()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come about: %s: %w", what, seen, ctx.Err())
		case <-tick.C:
		}
	}
}
