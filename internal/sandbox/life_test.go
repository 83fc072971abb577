package sandbox_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/sandbox/sandboxtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Modes in which the test's program is started again.
const (
	modeServer = "DRAWBRIDGE_TEST_SERVER" // a server that is to be killed; the value is its directory
	modeOther  = "DRAWBRIDGE_TEST_OTHER"  // all tests as another user
	modeNested = "DRAWBRIDGE_TEST_NESTED" // within a sandbox
)

// again is the test's program with one test and one mode.
func again(ctx context.Context, test, mode, value string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), mode+"="+value)
	return cmd
}

// TestServer is no test: it is the server that TestKilledServer kills.
func TestServer(t *testing.T) {
	dir := os.Getenv(modeServer)
	if dir == "" {
		t.Skip("started by TestKilledServer")
	}
	s := open(t, func(c *sandbox.Config) { c.Dir = dir })
	j := sandboxtest.Open(t, s, ci.JobSpec{ID: "job"})
	_, pout := run(t, s, image(t, map[string]string{"x": ""}), "process", "trap '' TERM HUP; setsid sleep 1000 & echo ready; sleep 1000")
	pout.Wait(t.Context(), "ready")
	sandboxtest.Shell(t, j, "setsid sh -c 'trap \"\" TERM HUP; sleep 1000' >/dev/null 2>&1 & :")
	_, _ = j.Run(t.Context(), ci.StepSpec{Command: []string{"sh", "-c", "trap '' TERM HUP; echo ready; sleep 1000"}}, printer{})
}

// printer says when the step is there.
type printer struct{}

func (printer) Write(p []byte) (int, error) {
	_, err := os.Stdout.WriteString("READY\n")
	return len(p), err
}

func TestKilledServer(t *testing.T) {
	if os.Getenv(modeServer) != "" {
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, func(c *sandbox.Config) { c.Dir = dir }) // the next server, on the same directory
	cmd := again(t.Context(), "TestServer", modeServer, dir)
	cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	for sc := bufio.NewScanner(stdout); sc.Scan(); {
		seen.WriteString(sc.Text() + "\n")
		if sc.Text() == "READY" {
			break
		}
	}
	if !strings.Contains(seen.String(), "READY") {
		t.Fatalf("the server did not start: %s", seen.String())
	}
	tree := descendants(t, cmd.Process.Pid)
	if len(tree) < 5 {
		t.Fatalf("the server has only %d processes below it", len(tree))
	}
	ends := make([]*os.File, 0, len(tree))
	for _, pid := range tree {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			ends = append(ends, os.NewFile(uintptr(fd), itoa(pid)))
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stdout) // its end: nobody has it open any more
	_ = cmd.Wait()
	for _, f := range ends {
		poll := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}} // readable once the process has ended
		if n, err := unix.Poll(poll, 30_000); n != 1 {
			t.Errorf("process %s lives on after the server: %v", f.Name(), err)
		}
		_ = f.Close()
	}
	if _, err := s.Reattach(t.Context(), "job"); err != ci.ErrGone { //nolint:errorlint // exactly
		t.Errorf("Reattach: %v, want ErrGone", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "jobs")); len(left) != 1 {
		t.Fatalf("%d workspaces are left, want that of the job", len(left))
	}
	if err := s.Sweep(t.Context(), func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "jobs")); len(left) != 0 {
		t.Errorf("%d workspaces are left after Sweep", len(left))
	}
	if exit, _ := sandboxtest.Shell(t, sandboxtest.Open(t, s, ci.JobSpec{ID: "job"}), "test -z \"$(ls -A)\""); exit.Code != 0 {
		t.Error("the job's next attempt does not begin with an empty workspace")
	}
}

// descendants lists the processes below pid.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	parents := make(map[int]int)
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parents[child], _ = strconv.Atoi(f[1])
	}
	var below []int
	for p := range parents {
		for up := parents[p]; up != 0; up = parents[up] {
			if up == pid {
				below = append(below, p)
				break
			}
		}
	}
	slices.Sort(below)
	return below
}

// TestOtherUser runs the other tests as a user that is not root.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 || os.Getenv(modeOther) != "" {
		t.Skip("this run is that of another user")
	}
	if testing.Short() {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI leaves nothing out: run without -short")
		}
		t.Skip("runs everything again")
	}
	const user = 54321
	dir, err := os.MkdirTemp("", "drawbridge-other") //nolint:usetesting // another user cannot enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	attacker(t, dir)
	if err := os.Chown(dir, user, user); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "attacker"), "-test.v")
	cmd.Env = append(os.Environ(), modeOther+"=1", "TMPDIR="+dir, "HOME="+dir)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as another user: %v\n%s", err, out)
	}
	if strings.Contains(string(out), "no sandbox can be made") {
		if os.Getenv("CI") == "true" {
			t.Fatal("only root can make sandboxes here")
		}
		t.Skip("only root can make sandboxes here")
	}
}

// TestNested asks for a sandbox where user namespaces are forbidden: within a sandbox.
func TestNested(t *testing.T) {
	if os.Getenv(modeNested) != "" {
		s, err := sandbox.New(sandbox.Config{Dir: "/tmp/nested"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context()) //nolint:errcheck // nothing runs in it
		f, err := s.Facts(t.Context())
		if err != nil || !strings.HasPrefix(f.Isolation, "none: the sandbox cannot start: ") || len(f.Limits) != 0 {
			t.Errorf("Facts = %+v, %v, want isolation none with the reason and no limits", f, err)
		}
		_, err = s.Open(t.Context(), ci.JobSpec{ID: "inner"})
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.As(err).Hint, "user.max_user_namespaces") {
			t.Errorf("Open: %v, want a fault of kind Unavailable with a hint", err)
		}
		_, err = s.Start(t.Context(), sandbox.ProcessSpec{ID: "inner", Root: "/", Command: []string{"true"}})
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("Start: %v, want a fault of kind Unavailable", err)
		}
		return
	}
	tool := t.TempDir()
	attacker(t, tool)
	j := sandboxtest.Open(t, open(t, nil), ci.JobSpec{ID: "outer", ReadOnly: []string{tool}})
	out := &sandboxtest.Output{}
	exit, err := j.Run(t.Context(), ci.StepSpec{
		Command: []string{tool + "/attacker", "-test.run=^TestNested$", "-test.v"}, Env: map[string]string{modeNested: "1"},
	}, out)
	if err != nil || exit.Code != 0 || !strings.Contains(out.Out(), "PASS: TestNested") {
		t.Errorf("within a sandbox: %+v, %v\n%s", exit, err, out.Out())
	}
}

// Each job has a user of its own on the host when the server is root, but those with one cache.
func TestUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the server is not root: every job is of its user")
	}
	s := open(t, nil)
	owner := func(id, cache string) uint32 {
		j := sandboxtest.Open(t, s, ci.JobSpec{ID: id, Cache: cache})
		out := &sandboxtest.Output{}
		go func() {
			_, _ = j.Run(t.Context(), ci.StepSpec{Command: []string{"sh", "-c", "echo ready; exec sleep 1000"}}, out)
		}()
		out.Wait(t.Context(), "ready")
		for _, pid := range descendants(t, os.Getpid()) {
			var st syscall.Stat_t
			if syscall.Stat("/proc/"+itoa(pid), &st) == nil && st.Uid != 0 { // PID 1 hides, as root's
				_ = j.Close(t.Context())
				return st.Uid
			}
		}
		t.Fatal("the job's process is not there")
		return 0
	}
	a, b, c, d := owner("a", ""), owner("b", ""), owner("c", "shop"), owner("d", "shop")
	if a == b || a == c || c != d || a < 1<<16 || c < 1<<16 {
		t.Errorf("users %d, %d and, with a cache, %d, %d: want others for each but those with one cache, and none that a person has", a, b, c, d)
	}
}

func TestSeedCache(t *testing.T) {
	seed := t.TempDir()
	if err := os.MkdirAll(filepath.Join(seed, "00"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(seed, "00", "object"), []byte("built"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, func(c *sandbox.Config) { c.SeedCache = seed })
	for i := range 2 {
		j := sandboxtest.Open(t, s, ci.JobSpec{ID: "a" + itoa(i), Cache: "shop"})
		exit, out := sandboxtest.Shell(t, j, "cat /cache/go-build/00/object && echo again > /cache/go-build/00/object && touch /cache/go-build/new")
		if want := []string{"built", "again\n"}[i]; exit.Code != 0 || out.Out() != want {
			t.Errorf("job %d sees %q, want %q (%+v)", i, out.Out(), want, exit)
		}
	}
	if text, _ := os.ReadFile(filepath.Join(seed, "00", "object")); string(text) != "built" {
		t.Error("a job has changed the seed")
	}
}

func TestLimits(t *testing.T) {
	s := open(t, nil)
	f, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(f.Limits, "memory") || !slices.Contains(f.Limits, "pids") {
		if os.Getenv("CI") == "true" && os.Getuid() == 0 { // another user may need a delegated group
			t.Fatalf("limits that hold here: %q", f.Limits)
		}
		t.Skipf("limits that hold here: %q", f.Limits)
	}
	t.Run("memory", func(t *testing.T) {
		j := sandboxtest.Open(t, s, ci.JobSpec{ID: "memory", Memory: 64<<20 + raceMemory})
		exit, _ := sandboxtest.Shell(t, j, "head -c 1000000000 /dev/zero | tail >/dev/null; exit $?")
		if !exit.OOM || exit.Code == 0 {
			t.Errorf("a step that takes 1 GB gave %+v, want that memory ended it", exit)
		}
		if exit, out := sandboxtest.Shell(t, j, "echo fine"); exit.OOM || out.Out() != "fine\n" {
			t.Errorf("the step after it gave %+v, %q", exit, out.Out())
		}
	})
	t.Run("pids", func(t *testing.T) {
		j := sandboxtest.Open(t, s, ci.JobSpec{ID: "pids", PIDs: 40})
		step := ci.StepSpec{Command: []string{"sh", "-c", "bomb() { bomb | bomb & }; bomb; sleep 1000"}, Timeout: 200 * time.Millisecond, Grace: time.Millisecond}
		if exit, err := j.Run(t.Context(), step, &sandboxtest.Output{}); err != nil || (exit.Code == 0 && !exit.TimedOut) {
			t.Errorf("a fork bomb gave %+v, %v", exit, err)
		}
		if exit, out := sandboxtest.Shell(t, j, "echo fine"); exit.Code != 0 || out.Out() != "fine\n" {
			t.Errorf("the step after it gave %+v, %q", exit, out.Out())
		}
	})
	t.Run("process", func(t *testing.T) {
		out := &sandboxtest.Output{}
		p, err := s.Start(t.Context(), sandbox.ProcessSpec{
			ID: "fat", Root: image(t, map[string]string{"x": ""}), HostTools: true, Limits: sandbox.Limits{Memory: 32 << 20},
			Command: []string{"sh", "-c", "head -c 100000000 /dev/zero | tail >/dev/null; exit 9"}, Stderr: out,
		})
		if err != nil {
			t.Fatal(err)
		}
		if <-p.Done(); !strings.HasSuffix(p.Exit(), ", out of memory") {
			t.Errorf("Exit = %q, want out of memory", p.Exit())
		}
	})
}

// Every way in which a job can make its place hard to remove.
func TestCloseRemovesAnything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, func(c *sandbox.Config) { c.Dir = dir })
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j := sandboxtest.Open(t, s, ci.JobSpec{ID: "hard"})
	exit, out := sandboxtest.Shell(t, j, `mkdir -p closed/in && touch closed/in/f && chmod 0 closed/in closed && ln -s `+filepath.Dir(precious)+` link && mkfifo pipe
		i=0; while test $i -lt 500; do mkdir d && cd d || exit 1; i=$((i+1)); done; touch bottom`)
	if exit.Code != 0 {
		t.Fatalf("%+v: %s", exit, out.Out())
	}
	if err := j.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "jobs")); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Errorf("removal followed a link: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	s := open(t, nil)
	for name, spec := range map[string]ci.JobSpec{
		"no id":                {},
		"read-only missing":    {ID: "a", ReadOnly: []string{"/no/such/directory"}},
		"read-only relative":   {ID: "a", ReadOnly: []string{"."}},
		"read-only everything": {ID: "a", ReadOnly: []string{"/"}},
		"environment":          {ID: "a", Env: map[string]string{"": "x"}},
		"negative limit":       {ID: "a", Memory: -1},
	} {
		if _, err := s.Open(t.Context(), spec); err == nil {
			t.Errorf("%s: Open gave no error", name)
		}
	}
}

// BenchmarkJob compares a whole job, opened, running true and closed, with a plain sh that runs
// true, in turns. It reports medians and minima in milliseconds.
func BenchmarkJob(b *testing.B) {
	s := open(b, nil)
	var plain, jobs []float64
	for n := 0; b.Loop(); n++ {
		begin := time.Now()
		if err := exec.CommandContext(b.Context(), "sh", "-c", "true").Run(); err != nil {
			b.Fatal(err)
		}
		plain = append(plain, time.Since(begin).Seconds()*1000)
		begin = time.Now()
		j, err := s.Open(b.Context(), ci.JobSpec{ID: itoa(n)})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := j.Run(b.Context(), ci.StepSpec{Command: []string{"sh", "-c", "true"}}, &sandboxtest.Output{}); err != nil {
			b.Fatal(err)
		}
		if err := j.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
		jobs = append(jobs, time.Since(begin).Seconds()*1000)
	}
	slices.Sort(plain)
	slices.Sort(jobs)
	half := len(jobs) / 2
	b.ReportMetric(plain[half], "sh-ms")
	b.ReportMetric(jobs[half], "job-ms")
	b.ReportMetric(jobs[half]/plain[half], "ratio")
	b.ReportMetric(plain[0], "sh-min-ms")
	b.ReportMetric(jobs[0], "job-min-ms")
}
