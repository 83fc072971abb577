package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/sandbox/sandboxtest"
)

// image is an unpacked image of shell scripts: name → text.
func image(t *testing.T, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "image")
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// run starts a script as a process and gives what it wrote.
func run(t *testing.T, s *sandbox.Sandbox, root, id, script string) (*sandbox.Process, *sandboxtest.Output) {
	t.Helper()
	out := &sandboxtest.Output{}
	p, err := s.Start(t.Context(), sandbox.ProcessSpec{
		ID: id, Root: root, HostTools: true, Command: []string{"sh", "-c", script}, Stdout: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, out
}

func TestProcessSeesItsImage(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	root := image(t, map[string]string{
		"web": "#!/bin/sh\necho \"web in $(pwd) as $NAME\"\n", "data/page": "page\n", "etc/web.conf": "conf\n",
		"etc/hosts": "6.6.6.6 evil\n", "proc/1/x": "no\n", "tmp/x": "no\n", "dev/null": "no\n",
	})
	if err := os.Symlink("data/page", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	out := &sandboxtest.Output{}
	p, err := s.Start(t.Context(), sandbox.ProcessSpec{
		ID: "web", Root: root, HostTools: true, Command: []string{"./web"}, Env: []string{"NAME=me"}, Stdout: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(t.Context()); err != nil || exit.Code != 0 || out.Out() != "web in / as me\n" {
		t.Errorf("Wait = %+v, %v, output %q", exit, err, out.Out())
	}
	p, out = run(t, s, root, "look", "cat link etc/web.conf; echo $((1+1)) > /tmp/f && cat /tmp/f; ls -A /tmp; grep -c evil /etc/hosts; grep -c job /etc/passwd; test -e /.image || echo gone; echo > /dev/null; ls -d /proc/1/root; echo x > /data/page || echo read-only")
	<-p.Done()
	for _, want := range []string{"page\nconf\n2\nf\n0\n1\ngone\n", "read-only\n"} {
		if !strings.Contains(out.Out(), want) {
			t.Errorf("the process writes %q, want %q in it", out.Out(), want)
		}
	}
}

func TestProcessEnds(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	root := image(t, map[string]string{"x": ""})
	for name, c := range map[string]struct{ script, exit string }{
		"success": {"exit 0", "exit status 0"},
		"failure": {"echo why >&2; exit 3", "exit status 3"},
		"signal":  {"kill -SEGV $$", "ended by SIGSEGV"},
		"orphans": {"setsid sleep 1000 & exit 4", "exit status 4"},
	} {
		p, _ := run(t, s, root, name, c.script)
		<-p.Done()
		if p.Exit() != c.exit {
			t.Errorf("%s: Exit = %q, want %q", name, p.Exit(), c.exit)
		}
		if _, err := os.Stat("/proc/" + itoa(p.PID())); err == nil {
			t.Errorf("%s: its first process is still there", name)
		}
		if err := p.Stop(t.Context(), time.Hour); err != nil {
			t.Errorf("%s: Stop of a process that has ended: %v", name, err)
		}
	}
	p, err := s.Start(t.Context(), sandbox.ProcessSpec{ID: "missing", Root: root, Command: []string{"./none"}})
	if err != nil {
		t.Fatal(err)
	}
	if <-p.Done(); p.Exit() != "exit status 127" {
		t.Errorf("a command that is not there: Exit = %q", p.Exit())
	}
}

func TestProcessStop(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	root := image(t, map[string]string{"x": ""})
	p, out := run(t, s, root, "polite", "trap 'echo bye; exit 0' TERM; echo ready; sleep 1000 & wait")
	out.Wait(t.Context(), "ready")
	if p.Exit() != "" {
		t.Errorf("Exit of a running process = %q", p.Exit())
	}
	if _, err := s.Start(t.Context(), sandbox.ProcessSpec{ID: "polite", Root: root, Command: []string{"x"}}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second process of the same id: %v, want a fault of kind Conflict", err)
	}
	if err := p.Stop(t.Context(), time.Hour); err != nil || p.Exit() != "exit status 0" || !strings.HasSuffix(out.Out(), "bye\n") {
		t.Errorf("Stop: %v, Exit %q, output %q", err, p.Exit(), out.Out())
	}
	p, out = run(t, s, root, "polite", "trap '' TERM; (trap '' TERM; setsid sleep 1000) & echo ready; while :; do sleep 1000; done")
	out.Wait(t.Context(), "ready")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := p.Stop(t.Context(), 10*time.Millisecond); err != nil {
				t.Errorf("Stop: %v", err)
			}
		})
	}
	both.Wait()
	if p.Exit() != "ended by SIGKILL" {
		t.Errorf("Exit = %q, want SIGKILL", p.Exit())
	}
}

func TestProcessRefuses(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	root := image(t, map[string]string{"x": ""})
	for name, spec := range map[string]sandbox.ProcessSpec{
		"no id":         {Root: root, Command: []string{"x"}},
		"no command":    {ID: "a", Root: root},
		"no root":       {ID: "a", Root: filepath.Join(root, "none"), Command: []string{"x"}},
		"relative root": {ID: "a", Root: ".", Command: []string{"x"}},
		"environment":   {ID: "a", Root: root, Command: []string{"x"}, Env: []string{"=x"}},
	} {
		if _, err := s.Start(t.Context(), spec); err == nil {
			t.Errorf("%s: Start gave no error", name)
		}
	}
}
