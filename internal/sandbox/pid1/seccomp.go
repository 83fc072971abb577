package pid1

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets into struct seccomp_data; arguments are little-endian on both architectures.
const (
	dataNR   = 0
	dataArch = 4
	dataArgs = 16
)

// x32Bit marks system calls of the x32 ABI, which would pass under other numbers.
const x32Bit = 0x40000000

// newNamespaces are the flags of clone and unshare that make a namespace.
const newNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// families are the kinds of socket that a sandbox may open. Netlink is how programs
// list their interfaces; a vsock would reach past every network namespace.
var families = []uint32{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// denied are the system calls that fail with EPERM.
var denied = []uint32{
	// other views of the file system
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, sysOpenTreeAttr,
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_FANOTIFY_INIT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	// other processes and namespaces
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP, unix.SYS_SETNS,
	// the kernel's key rings are not divided by namespaces
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	// large and often broken doors into the kernel
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD,
	// the machine
	unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_REBOOT, unix.SYS_ACCT, unix.SYS_SYSLOG, unix.SYS_VHANGUP, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
}

// sysOpenTreeAttr is open_tree_attr (Linux 6.15), the same number on every architecture.
const sysOpenTreeAttr = 467

// absent are the system calls that fail with ENOSYS, at which programs take another way:
// clone3 hides its flags from the filter, io_uring its operations.
var absent = []uint32{unix.SYS_CLONE3, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}

// architectures are those that the filter knows by the numbers above.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

const (
	retAllow = unix.SECCOMP_RET_ALLOW
	retEPERM = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	retNoSys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	retNoFam = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
)

// filter is the program for one architecture. System calls of any other ABI are absent.
func filter(arch uint32) []unix.SockFilter {
	p := []unix.SockFilter{
		load(dataArch),
		jump(unix.BPF_JEQ, arch, 1, 0),
		ret(retNoSys),
		load(dataNR),
		jump(unix.BPF_JGE, x32Bit, 0, 1),
		ret(retNoSys),
	}
	for _, nr := range append(denied, deniedHere...) {
		p = append(p, jump(unix.BPF_JEQ, nr, 0, 1), ret(retEPERM))
	}
	for _, nr := range absent {
		p = append(p, jump(unix.BPF_JEQ, nr, 0, 1), ret(retNoSys))
	}
	for _, nr := range []uint32{unix.SYS_CLONE, unix.SYS_UNSHARE} {
		p = append(p, jump(unix.BPF_JEQ, nr, 0, 4),
			load(dataArgs), jump(unix.BPF_JSET, newNamespaces, 0, 1), ret(retEPERM), ret(retAllow))
	}
	// Input faked on a terminal is typed into the shell that owns it.
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_IOCTL, 0, 5), load(dataArgs+8),
		jump(unix.BPF_JEQ, unix.TIOCSTI, 1, 0), jump(unix.BPF_JEQ, tiocLinux, 0, 1), ret(retEPERM), ret(retAllow))
	n := uint8(len(families)) //nolint:gosec // four
	p = append(p, jump(unix.BPF_JEQ, unix.SYS_SOCKET, 0, n+2), load(dataArgs))
	for i, f := range families {
		p = append(p, jump(unix.BPF_JEQ, f, n-uint8(i), 0))
	}
	return append(p, ret(retNoFam), ret(retAllow))
}

// tiocLinux is the console's ioctl that can paste.
const tiocLinux = 0x541c

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(how uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_K | how, K: k, Jt: yes, Jf: no}
}

func ret(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }

// installFilter puts every thread of this process, and all that it starts, under the filter.
func installFilter() error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return fmt.Errorf("the sandbox has no system call filter for %s", runtime.GOARCH)
	}
	p := filter(arch)
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]} //nolint:gosec // some hundred
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))) //nolint:gosec // the kernel reads it during the call
	if errno != 0 {
		return fmt.Errorf("installing the system call filter: %w", errno)
	}
	if thread != 0 {
		return fmt.Errorf("installing the system call filter: thread %d refuses it", thread)
	}
	return nil
}
