package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probeArg makes the test's own program an attacker: probeArg NAME ARGUMENT … tries one attack after
// the other and prints a line for each, "reached" or "denied: why".
const probeArg = "drawbridge-probe"

// attacks are what a job or a deployed process may try. A nil error means that it succeeded.
var attacks = map[string]func(arg string) error{
	"read":      func(path string) error { _, err := os.ReadFile(path); return err },
	"list":      func(path string) error { _, err := os.ReadDir(path); return err },
	"write":     func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
	"create in": func(dir string) error { return os.WriteFile(filepath.Join(dir, "evil"), []byte("x"), 0o600) },
	"find env":  findInProc("environ"),
	"find cmd":  findInProc("cmdline"),
	"inherited": inherited,
	"kill": func(pid string) error {
		n, err := strconv.Atoi(pid)
		return errors.Join(err, syscall.Kill(n, 0))
	},
	"tcp":  dial("tcp"),
	"udp":  dial("udp"),
	"unix": dial("unix"),
	"mount": func(string) error {
		return unix.Mount("tmpfs", "/tmp", "tmpfs", 0, "")
	},
	"remount root": func(string) error { return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") },
	"new mount api": func(string) error {
		fd, err := unix.Fsopen("tmpfs", 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	},
	"open tree": func(string) error {
		_, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE)
		return err
	},
	"umount":           func(path string) error { return unix.Unmount(path, unix.MNT_DETACH) },
	"chroot":           func(string) error { return unix.Chroot("/tmp") },
	"user namespace":   func(string) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"clone user":       func(string) error { return clone(unix.CLONE_NEWUSER) },
	"clone net":        func(string) error { return clone(unix.CLONE_NEWNET) },
	"enter namespace":  enterNamespace,
	"ptrace":           func(string) error { return ptrace(1) },
	"ptrace child":     ptraceChild,
	"pid 1 memory":     func(string) error { _, err := os.OpenFile("/proc/1/mem", os.O_RDWR, 0); return err },
	"pid 1 files":      func(string) error { _, err := os.ReadDir("/proc/1/fd"); return err },
	"pid 1 by reading": func(string) error { return raw(unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0, 0) },
	"keyring":          func(string) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true); return err },
	"add key": func(string) error {
		_, err := unix.AddKey("user", "a", []byte("b"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	},
	"bpf":         func(string) error { return raw(unix.SYS_BPF, 0, 0, 0, 0, 0, 0) },
	"perf":        func(string) error { return raw(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0, 0) },
	"userfaultfd": func(string) error { return raw(unix.SYS_USERFAULTFD, 1, 0, 0, 0, 0, 0) },
	"io_uring": func(string) error {
		var p [120]byte
		return raw(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p)), 0, 0, 0, 0)
	},
	"clone3":             func(string) error { return raw(unix.SYS_CLONE3, 0, 0, 0, 0, 0, 0) },
	"file handle":        func(string) error { return raw(unix.SYS_OPEN_BY_HANDLE_AT, 0, 0, 0, 0, 0, 0) },
	"kexec":              func(string) error { return raw(unix.SYS_KEXEC_LOAD, 0, 0, 0, 0, 0, 0) },
	"module":             func(string) error { return raw(unix.SYS_FINIT_MODULE, 0, 0, 0, 0, 0, 0) },
	"reboot":             func(string) error { return raw(unix.SYS_REBOOT, 0, 0, 0, 0, 0, 0) },
	"swap":               func(string) error { return raw(unix.SYS_SWAPON, 0, 0, 0, 0, 0, 0) },
	"vsock":              socket(unix.AF_VSOCK),
	"packet socket":      socket(unix.AF_PACKET),
	"kernel crypto":      socket(unix.AF_ALG),
	"type into terminal": func(string) error { return raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, 0, 0, 0, 0) },
	"raise limit":        func(string) error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}) },
	"become root":        func(string) error { return syscall.Setuid(0) },
	"set host name":      func(string) error { return unix.Sethostname([]byte("evil")) },
	"device":             func(string) error { return unix.Mknod("/tmp/null", unix.S_IFCHR|0o666, 1<<8|3) },
}

// probe tries the attacks that its arguments name, in pairs.
func probe(args []string) int {
	for ; len(args) > 1; args = args[2:] {
		line := "no such attack\n"
		if attack, ok := attacks[args[0]]; ok {
			line = "reached\n"
			if err := attack(args[1]); err != nil {
				line = "denied: " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n"
			}
		}
		if _, err := os.Stdout.WriteString(line); err != nil {
			return 1
		}
	}
	return 0
}

// findInProc looks for a text in a file of every process that can be seen but its own.
func findInProc(file string) func(string) error {
	return func(text string) error {
		all, err := filepath.Glob("/proc/[0-9]*/" + file)
		if err != nil {
			return err
		}
		for _, path := range all {
			if strings.HasPrefix(path, "/proc/"+strconv.Itoa(os.Getpid())+"/") {
				continue
			}
			if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(text)) {
				return nil
			}
		}
		return fmt.Errorf("not in %d processes", len(all))
	}
}

// inherited reads every descriptor that the process began with, looking for a text.
func inherited(text string) error {
	buf := make([]byte, 4096)
	for fd := 3; fd < 300; fd++ {
		if n, err := unix.Pread(fd, buf, 0); err == nil && bytes.Contains(buf[:n], []byte(text)) {
			return nil
		}
	}
	return errors.New("in no descriptor")
}

func dial(network string) func(string) error {
	return func(address string) error {
		c, err := net.DialTimeout(network, address, 10*time.Second)
		if err != nil {
			return err
		}
		_, err = c.Write([]byte("x"))
		if err == nil { // there is an answer: somebody has got it
			err = errors.Join(c.SetReadDeadline(time.Now().Add(10*time.Second)), first(io.ReadFull(c, make([]byte, 1))))
		}
		return errors.Join(err, c.Close())
	}
}

func first(_ int, err error) error { return err }

func socket(family int) func(string) error {
	return func(string) error {
		fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
		if errors.Is(err, unix.ESOCKTNOSUPPORT) { // the family lets us in, with another type
			fd, err = unix.Socket(family, unix.SOCK_SEQPACKET, 0)
		}
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
}

// raw is a system call whose arguments may be nonsense: whatever it says, it was reached unless
// it says EPERM or ENOSYS.
func raw(nr uintptr, a ...uintptr) error {
	_, _, errno := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno == syscall.EPERM || errno == syscall.ENOSYS {
		return errno
	}
	return nil
}

func clone(flags uintptr) error {
	cmd, err := os.StartProcess("/proc/self/exe", []string{"x", probeArg, "read", "/"}, &os.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: flags}})
	if err == nil {
		_, _ = cmd.Wait()
	}
	return err
}

func enterNamespace(string) error {
	fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, 0)
}

func ptrace(pid int) error { return raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(pid), 0, 0, 0, 0) }

func ptraceChild(string) error {
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		return err
	}
	defer func() {
		_ = p.Kill()
		_, _ = p.Wait()
	}()
	return syscall.PtraceAttach(p.Pid)
}
