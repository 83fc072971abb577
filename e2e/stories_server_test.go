package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a story waits for anything; a machine may be slow.
const patience = 2 * time.Minute

// process is one running server.
type process struct {
	cmd   *exec.Cmd
	ended chan error

	mu  sync.Mutex
	log bytes.Buffer
}

func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "server start [FLAG...] | stop | kill")
	w := worldOf(ts)
	if (args[0] == "start") != (w.server == nil) {
		ts.Fatalf("server %s: it runs: %v", args[0], w.server != nil)
	}
	switch args[0] {
	case "start":
		w.start(ts, args[1:])
	case "stop":
		p := w.server
		w.server = nil
		if err := p.stop(); err != nil {
			ts.Fatalf("server stop: %v\n%s", err, p.tail())
		}
	case "kill":
		ts.Check(w.server.cmd.Process.Kill())
		if err := <-w.server.ended; err == nil {
			ts.Fatalf("a server that was killed ended with 0")
		}
		w.server = nil
	default:
		ts.Fatalf("server %s: there is no such command", args[0])
	}
}

// start starts the server and waits until it is ready.
func (w *world) start(ts *testscript.TestScript, flags []string) {
	p := &process{ended: make(chan error, 1)}
	p.cmd = exec.Command(w.drawbridge, append([]string{"server", "--data", w.data(), "--listen", "127.0.0.1:0"}, flags...)...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "A_SECRET_OF_THE_SERVER=drawn-up-at-night"}
	if roots := ts.Getenv("SSL_CERT_FILE"); roots != "" {
		p.cmd.Env = append(p.cmd.Env, "SSL_CERT_FILE="+roots)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	ready := make(chan string, 1)
	go p.watch(stderr, ready)
	select {
	case address := <-ready:
		if address == "" {
			ts.Fatalf("the server ended before it was ready: %v\n%s", <-p.ended, p.tail())
		}
		w.server = p
		ts.Setenv("DRAWBRIDGE_SERVER", address)
		ts.Setenv("SERVER_HOST", strings.TrimPrefix(address, "http://"))
		ts.Setenv("SERVER_PID", strconv.Itoa(p.cmd.Process.Pid))
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		ts.Fatalf("the server is not ready after %v\n%s", patience, p.tail())
	}
	admin, err := os.ReadFile(filepath.Join(w.data(), "admin.token"))
	ts.Check(err)
	w.tokens["admin"] = strings.TrimSpace(string(admin))
}

// watch keeps what the server logs, and reports its address and its end.
func (p *process) watch(stderr interface{ Read([]byte) (int, error) }, ready chan<- string) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		if _, address, ok := strings.Cut(lines.Text(), "drawbridge: ready on "); ok {
			ready <- address
		}
	}
	err := p.cmd.Wait()
	close(ready)
	p.ended <- err
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// tail is the end of what the server said.
func (p *process) tail() string {
	said := p.said()
	return "the server said last:\n" + said[max(0, len(said)-4000):]
}

// stop sends SIGTERM, and is an error unless the server ends with 0, without a complaint
// of the race detector, and leaves no process behind.
func (p *process) stop() error {
	left, err := descendants(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err = <-p.ended:
	case <-time.After(patience):
		err = errors.Join(fmt.Errorf("it goes on %v after SIGTERM", patience), p.cmd.Process.Kill())
	}
	for _, sign := range []string{"WARNING: DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(p.said(), sign) {
			err = errors.Join(err, errors.New(sign))
		}
	}
	return errors.Join(err, allGone(left))
}

// one is a process that cannot be taken for another that gets its number later.
type one struct {
	pid     int
	started string
	command string
}

// descendants lists the processes below pid.
func descendants(pid int) ([]one, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	below := map[int][]one{}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			if p, parent, ok := look(n); ok {
				below[parent] = append(below[parent], p)
			}
		}
	}
	var out []one
	for todo := below[pid]; len(todo) > 0; todo = todo[1:] {
		out = append(out, todo[0])
		todo = append(todo, below[todo[0].pid]...)
	}
	return out, nil
}

// look reads /proc/PID/stat; ok is false when there is no such process, or only its exit
// status waits to be read.
func look(pid int) (p one, parent int, ok bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, 0, false
	}
	name, rest, ok := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return p, 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return one{pid: pid, started: fields[19], command: name + ")"}, parent, err == nil
}

// allGone waits a moment for the processes of a server that has ended; the kernel may
// still be taking a namespace down.
func allGone(left []one) error {
	deadline := time.Now().Add(10 * time.Second)
	for _, p := range left {
		for {
			now, _, ok := look(p.pid)
			if !ok || now.started != p.started {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("process %s outlives its server", now.command)
			}
			pause()
		}
	}
	return nil
}
