package pid1

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one line of the process table.
type process struct {
	pid, parent int
	state       byte // as in /proc/PID/stat: R, S, D, T, Z …
	start       uint64
}

func (p process) alive() bool { return p.state != 'Z' && p.state != 'X' }

// program names what the process is and runs: it changes with exec, and with the process.
func (p process) program() string {
	exe, _ := os.Readlink("/proc/" + strconv.Itoa(p.pid) + "/exe") // "" for one that has ended or hides
	return strconv.FormatUint(p.start, 10) + " " + exe
}

// processes lists every process of the sandbox but PID 1.
func processes() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close() //nolint:errcheck // opened for reading
	names, _ := dir.Readdirnames(-1)
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == 1 {
			continue
		}
		text, err := os.ReadFile("/proc/" + name + "/stat") //nolint:gosec // a number
		if err != nil {
			continue // it has ended
		}
		if p, ok := parseStat(string(text)); ok {
			all = append(all, p)
		}
	}
	return all
}

// parseStat reads a line of /proc/PID/stat. The program's name, in parentheses, is the
// process's own choice and may hold anything; nothing after the last ')' is.
func parseStat(line string) (process, bool) {
	head, _, ok := strings.Cut(line, " ")
	end := strings.LastIndexByte(line, ')')
	if !ok || end < 0 {
		return process{}, false
	}
	f := strings.Fields(line[end+1:])
	if len(f) < 20 || f[0] == "" {
		return process{}, false
	}
	pid, err1 := strconv.Atoi(head)
	parent, err2 := strconv.Atoi(f[1])
	start, err3 := strconv.ParseUint(f[19], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return process{}, false
	}
	return process{pid: pid, parent: parent, state: f[0][0], start: start}, true
}

// freeze stops every process but PID 1 and waits until they have stopped; it gives up
// waiting, not stopping, after two seconds. kill(-1) leaves no process out, not even one
// that is being born. The result lets those go on that were not stopped before.
func freeze() (thaw func()) {
	var stopped []int
	for _, p := range processes() {
		if p.state == 'T' {
			stopped = append(stopped, p.pid)
		}
	}
	thaw = func() {
		_ = syscall.Kill(-1, syscall.SIGCONT) // there may be none
		for _, pid := range stopped {
			_ = syscall.Kill(pid, syscall.SIGSTOP) // as it was found
		}
	}
	if err := syscall.Kill(-1, syscall.SIGSTOP); err != nil {
		return func() {} // there is no other process
	}
	for round := range 2000 {
		if !anyRuns(round < 50) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return thaw
}

// anyRuns reports whether a process has not stopped yet. One in an uninterruptible wait ends its write
// first, or it waits for a child of vfork that has stopped: then it does nothing more.
func anyRuns(evenWaiting bool) bool {
	for _, p := range processes() {
		switch p.state {
		case 'T', 't', 'Z', 'X':
		case 'D':
			if evenWaiting {
				return true
			}
		default:
			return true
		}
	}
	return false
}
