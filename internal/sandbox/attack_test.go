package sandbox_test

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"drawbridge/internal/ci"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/sandbox/sandboxtest"
)

// world is what lies around a sandbox and is worth an attack.
type world struct {
	dir, secret, tcp, udp, unix string
}

const secretText = "drawbridge-very-secret"

// surround makes a server's belongings: a data directory with a secret, another job, listeners.
func surround(t *testing.T, s *sandbox.Sandbox, dir string) world {
	t.Helper()
	w := world{dir: dir, secret: filepath.Join(dir, "admin.token")}
	if err := os.WriteFile(w.secret, []byte(secretText), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cd.db"), []byte("rows"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(w.secret, unix.O_RDONLY, 0) // as if the server had got it from what started it: not to be closed at exec
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	other := sandboxtest.Open(t, s, ci.JobSpec{ID: "victim"})
	sandboxtest.Shell(t, other, "echo "+secretText+" > secret; sleep 1000 & :")
	tcp := listen(t, "tcp", "127.0.0.1:0")
	abstract := listen(t, "unix", "@drawbridge-test-"+strconv.Itoa(os.Getpid()))
	w.tcp, w.unix, w.udp = tcp.Addr().String(), abstract.Addr().String(), echo(t)
	return w
}

// listen accepts connections until the test ends.
func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.CopyN(c, c, 1) // an echo: the other side may go away
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l
}

// echo answers datagrams until the test ends.
func echo(t *testing.T) string {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 16)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(buf[:n], from) // it may be gone
		}
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-done
	})
	return c.LocalAddr().String()
}

// attack is one attempt. Control means that the same attempt succeeds without a sandbox, for
// any user, which shows that it is one.
type attack struct {
	name, arg string
	control   bool
}

// table lists the attacks that must fail in every sandbox.
func (w world) table() []attack {
	all := []attack{
		{"read", w.secret, true},
		{"read", filepath.Join(w.dir, "cd.db"), true},
		{"list", w.dir, true},
		{"list", filepath.Join(w.dir, "jobs"), true},
		{"read", "/proc/1/root" + w.secret, false},
		{"inherited", secretText, true},
		{"read", "/etc/shadow", false},
		{"read", "/root/.bashrc", false},
		{"find env", "PATH=" + os.Getenv("PATH"), true},
		{"find cmd", filepath.Base(os.Args[0]), true},
		{"create in", "/", false},
		{"create in", "/usr", false},
		{"create in", "/usr/local", false},
		{"create in", "/etc", false},
		{"create in", "/dev", false},
		{"create in", "/proc", false},
		{"write", "/etc/passwd", false},
		{"write", "/proc/sys/user/max_user_namespaces", false},
		{"write", "/proc/sys/kernel/core_pattern", false},
		{"write", "/proc/sysrq-trigger", false},
		{"read", "/proc/kcore", false},
		{"mount", "", false},
		{"remount root", "", false},
		{"new mount api", "", false},
		{"open tree", "", false},
		{"umount", "/proc", false},
		{"chroot", "", false},
		{"user namespace", "", false},
		{"clone user", "", false},
		{"clone net", "", false},
		{"enter namespace", "", false},
		{"ptrace", "", false},
		{"pid 1 memory", "", false},
		{"pid 1 files", "", false},
		{"pid 1 by reading", "", false},
		{"keyring", "", true},
		{"add key", "", true},
		{"bpf", "", false},
		{"perf", "", false},
		{"userfaultfd", "", false},
		{"io_uring", "", false},
		{"clone3", "", true},
		{"file handle", "", false},
		{"kexec", "", false},
		{"module", "", false},
		{"reboot", "", false},
		{"swap", "", false},
		{"vsock", "", false},
		{"packet socket", "", false},
		{"kernel crypto", "", false},
		{"type into terminal", "", false},
		{"raise limit", "", false},
		{"become root", "", false},
		{"set host name", "", false},
		{"device", "", false},
	}
	if pid := strconv.Itoa(os.Getpid()); len(pid) > 2 { // else a process of the sandbox may have the same
		all = append(all, attack{"read", "/proc/" + pid + "/environ", true}, attack{"kill", pid, true})
	}
	return all
}

// privateNetwork lists the attacks that must fail where the network is private.
func (w world) privateNetwork() []attack {
	return []attack{{"tcp", w.tcp, true}, {"udp", w.udp, true}, {"unix", w.unix, true}, {"udp", "192.0.2.1:9", false}, {"tcp", "169.254.169.254:80", false}}
}

// attacker copies the test's own program into dir, where every user can run it.
func attacker(t *testing.T, dir string) {
	t.Helper()
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // opened for reading
	out, err := os.OpenFile(filepath.Join(dir, "attacker"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close(), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
}

// arguments are those of the attacker.
func arguments(attacks []attack) []string {
	args := []string{probeArg}
	for _, a := range attacks {
		args = append(args, a.name, a.arg)
	}
	return args
}

// judge reads what the attacker printed in a sandbox, and tries the attacks that have a control without one.
func judge(t *testing.T, program string, attacks []attack, printed string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(printed, "\n"), "\n")
	if len(lines) != len(attacks) {
		t.Fatalf("%d attacks gave %d lines:\n%s", len(attacks), len(lines), printed)
	}
	var controls []attack
	for i, a := range attacks {
		if !strings.HasPrefix(lines[i], "denied: ") {
			t.Errorf("%s %q: the sandbox answers %q, want that it is denied", a.name, a.arg, lines[i])
		}
		if a.control {
			controls = append(controls, a)
		}
	}
	out, err := exec.CommandContext(t.Context(), program, arguments(controls)...).CombinedOutput()
	lines = strings.Split(string(out), "\n")
	if err != nil || len(lines) != len(controls)+1 {
		t.Fatalf("without a sandbox: %v\n%s", err, out)
	}
	for i, a := range controls {
		if lines[i] != "reached" {
			t.Errorf("%s %q proves nothing: without a sandbox it gives %q", a.name, a.arg, lines[i])
		}
	}
}

func TestJobAttacks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, func(c *sandbox.Config) { c.Dir = dir })
	w := surround(t, s, dir)
	tool := t.TempDir()
	attacker(t, tool)
	j := sandboxtest.Open(t, s, ci.JobSpec{ID: "attacker", ReadOnly: []string{tool}})
	try := func(attacks []attack) string {
		out := &sandboxtest.Output{}
		command := append([]string{tool + "/attacker"}, arguments(attacks)...)
		if exit, err := j.Run(t.Context(), ci.StepSpec{Command: command}, out); err != nil || exit.Code != 0 {
			t.Fatalf("the attacker ended with %+v, %v: %s", exit, err, out.Out())
		}
		return out.Out()
	}
	all := append(w.table(), w.privateNetwork()...)
	all = append(all, attack{"create in", tool, false}, attack{"ptrace child", "", false})
	judge(t, filepath.Join(tool, "attacker"), all, try(all))
	// What a job is meant to be able to do.
	allowed := []attack{
		{"create in", sandbox.Workspace, false},
		{"create in", "/tmp", false},
		{"create in", "/cache", false},
		{"create in", "/dev/shm", false},
		{"write", "/dev/null", false},
	}
	if got := try(allowed); got != strings.Repeat("reached\n", len(allowed)) {
		t.Errorf("a job that does what it may: %s", got)
	}
	if exit, out := sandboxtest.Shell(t, j, "cat /proc/*/comm"); exit.Code != 0 || strings.Contains(out.Out(), "sleep") {
		t.Errorf("the job sees the processes of another: %s", out.Out())
	}
}

func TestProcessAttacks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, func(c *sandbox.Config) { c.Dir = dir })
	w := surround(t, s, dir)
	root := filepath.Join(dir, "unpacked", "image")
	if err := os.MkdirAll(root, 0o755); err != nil {
		t.Fatal(err)
	}
	attacker(t, root)
	out := &sandboxtest.Output{}
	all := append(w.table(), attack{"find cmd", "sleep 1000", false})
	p, err := s.Start(t.Context(), sandbox.ProcessSpec{
		ID: "attacker", Root: root, HostTools: true, Command: append([]string{"./attacker"}, arguments(all)...), Stdout: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := p.Wait(t.Context()); err != nil || exit.Code != 0 {
		t.Fatalf("the attacker ended with %+v, %v: %s", exit, err, out.Out())
	}
	judge(t, filepath.Join(root, "attacker"), all, out.Out())
}

// A job may try to end the sandbox's first process, which is of the same user; at worst
// it ends itself.
func TestJobCannotEndPID1(t *testing.T) {
	j := sandboxtest.Open(t, open(t, nil), ci.JobSpec{ID: "pid1"})
	exit, out := sandboxtest.Shell(t, j, "for s in HUP INT QUIT ILL TRAP ABRT BUS FPE SEGV SYS PROF URG KILL USR1 USR2 PIPE ALRM TERM STOP TSTP CHLD CONT XCPU 34 64; do kill -$s 1; done; echo alive")
	if exit.Code != 0 || out.Out() != "alive\n" {
		t.Errorf("the step gave %+v, %q", exit, out.Out())
	}
	if exit, out := sandboxtest.Shell(t, j, "echo again"); exit.Code != 0 || out.Out() != "again\n" {
		t.Errorf("the next step gave %+v, %q", exit, out.Out())
	}
}
