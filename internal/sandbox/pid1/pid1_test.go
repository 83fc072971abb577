package pid1

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"drawbridge/internal/fault"
)

func TestParseStat(t *testing.T) {
	const tail = " 7 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3"
	for line, want := range map[string]process{
		"12 (sh) S" + tail:                {12, 7, 'S', 98765},
		"12 (a b) R 1 (x)) T" + tail:      {12, 7, 'T', 98765},
		"12 (\n) Z" + tail:                {12, 7, 'Z', 98765},
		"12 () D" + tail + " 4 5 6 (no x": {12, 7, 'D', 98765},
	} {
		if got, ok := parseStat(line); !ok || got != want {
			t.Errorf("parseStat(%q) = %+v, %v, want %+v", line, got, ok, want)
		}
	}
	for _, line := range []string{"", "12", "12 (sh", "12 (sh)", "x (sh) S" + tail, "12 (sh) S 7 5 5"} {
		if got, ok := parseStat(line); ok {
			t.Errorf("parseStat(%q) = %+v, want none", line, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("12 (sh) S 7 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2 3")
	f.Add("12 (a) b) S 7")
	f.Fuzz(func(_ *testing.T, line string) { parseStat(line) })
}

func TestPlace(t *testing.T) {
	for name, want := range map[string][2]string{
		"": {Workspace, "."}, ".": {Workspace, "."}, "a/b": {Workspace, "a/b"}, "a/../b": {Workspace, "b"},
		"/tmp": {Tmp, "."}, "/tmp/": {Tmp, "."}, "/tmp/a/../b": {Tmp, "b"}, "/cache/x": {Cache, "x"},
	} {
		base, rel, err := place(name, Tmp, Cache)
		if err != nil || base != want[0] || rel != want[1] {
			t.Errorf("place(%q) = %q, %q, %v, want %q", name, base, rel, err, want)
		}
	}
	for _, name := range []string{"..", "a/../..", "/", "/etc", "/tmpx", "/tmp/..", "/tmp/../etc", "/workspace/x", "a\x00b"} {
		if base, rel, err := place(name, Tmp, Cache); !fault.Is(err, fault.Invalid) {
			t.Errorf("place(%q) = %q, %q, %v, want a fault of kind Invalid", name, base, rel, err)
		}
	}
	if _, _, err := place("/cache/x", Tmp); err == nil {
		t.Error("place gave a place that is not among those given")
	}
}

func FuzzPlace(f *testing.F) {
	for _, s := range []string{"a", "../a", "/tmp/../x", "/cache", "//tmp", ".//..//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		base, rel, err := place(name, Tmp, Cache)
		if err == nil && (!filepath.IsLocal(rel) || !slices.Contains([]string{Workspace, Tmp, Cache}, base)) {
			t.Errorf("place(%q) = %q, %q, which leads out", name, base, rel)
		}
	})
}

// FuzzUntar: whatever a stream holds, nothing outside of the root is made or changed.
func FuzzUntar(f *testing.F) {
	for _, headers := range [][]tar.Header{
		{{Name: "a/b", Typeflag: tar.TypeReg, Size: 1}},
		{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/evil", Typeflag: tar.TypeReg, Size: 1}},
		{{Name: "d/", Typeflag: tar.TypeDir}, {Name: "d/l", Typeflag: tar.TypeSymlink, Linkname: "../d"}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "d/l"}},
		{{Name: "../evil", Typeflag: tar.TypeReg, Size: 1}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
			_, _ = w.Write(bytes.Repeat([]byte("x"), int(h.Size)))
		}
		_ = w.Close()
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		dir := t.TempDir()
		inside := filepath.Join(dir, "inside")
		if err := errors.Join(os.Mkdir(inside, 0o755), os.WriteFile(filepath.Join(dir, "evil"), []byte("same"), 0o600)); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(inside)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close() //nolint:errcheck // nothing more is written
		if err := untar(root, bytes.NewReader(stream)); err != nil && strings.ContainsRune(err.Error(), 0) {
			t.Errorf("the error holds a NUL: %q", err)
		}
		names, err := os.ReadDir(dir)
		text, rerr := os.ReadFile(filepath.Join(dir, "evil"))
		if err != nil || rerr != nil || len(names) != 2 || string(text) != "same" {
			t.Errorf("the stream has changed what is outside: %v, %q", names, text)
		}
		_ = filepath.WalkDir(inside, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type()&fs.ModeType&^(fs.ModeDir|fs.ModeSymlink) != 0 {
				t.Errorf("%s is no file, directory or link", path)
			}
			return nil
		})
	})
}

// TestFilter runs the filter in an interpreter: every rule, and what it must let through.
func TestFilter(t *testing.T) {
	arch := architectures[runtime.GOARCH]
	var raw []bpf.RawInstruction
	for _, i := range filter(arch) {
		raw = append(raw, bpf.RawInstruction{Op: i.Code, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	program, all := bpf.Disassemble(raw)
	if !all {
		t.Fatal("the filter holds an instruction that is none")
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	judge := func(arch, nr uint32, args ...uint32) uint32 {
		// The interpreter reads packets, in network order; the kernel reads words of its own.
		data := make([]byte, 64)
		put := func(at int, v uint32) { copy(data[at:], []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}) }
		put(dataNR, nr)
		put(dataArch, arch)
		for i, a := range args {
			put(dataArgs+8*i, a)
		}
		n, err := vm.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	for _, nr := range slices.Concat(denied, deniedHere) {
		if got := judge(arch, nr); got != retEPERM {
			t.Errorf("system call %d gives %#x, want EPERM", nr, got)
		}
	}
	for name, c := range map[string]struct {
		nr   uint32
		args []uint32
		want uint32
	}{
		"read":             {unix.SYS_READ, nil, retAllow},
		"execve":           {unix.SYS_EXECVE, nil, retAllow},
		"clone3":           {unix.SYS_CLONE3, nil, retNoSys},
		"io_uring_setup":   {unix.SYS_IO_URING_SETUP, nil, retNoSys},
		"thread":           {unix.SYS_CLONE, []uint32{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, retAllow},
		"fork":             {unix.SYS_CLONE, []uint32{uint32(unix.SIGCHLD)}, retAllow},
		"clone user":       {unix.SYS_CLONE, []uint32{unix.CLONE_NEWUSER | uint32(unix.SIGCHLD)}, retEPERM},
		"unshare files":    {unix.SYS_UNSHARE, []uint32{unix.CLONE_FILES}, retAllow},
		"unshare mount":    {unix.SYS_UNSHARE, []uint32{unix.CLONE_NEWNS}, retEPERM},
		"terminal size":    {unix.SYS_IOCTL, []uint32{0, unix.TIOCGWINSZ}, retAllow},
		"terminal input":   {unix.SYS_IOCTL, []uint32{0, unix.TIOCSTI}, retEPERM},
		"console paste":    {unix.SYS_IOCTL, []uint32{0, tiocLinux}, retEPERM},
		"unix socket":      {unix.SYS_SOCKET, []uint32{unix.AF_UNIX}, retAllow},
		"inet socket":      {unix.SYS_SOCKET, []uint32{unix.AF_INET}, retAllow},
		"inet6 socket":     {unix.SYS_SOCKET, []uint32{unix.AF_INET6}, retAllow},
		"netlink socket":   {unix.SYS_SOCKET, []uint32{unix.AF_NETLINK}, retAllow},
		"vsock":            {unix.SYS_SOCKET, []uint32{unix.AF_VSOCK}, retNoFam},
		"packet socket":    {unix.SYS_SOCKET, []uint32{unix.AF_PACKET}, retNoFam},
		"no family":        {unix.SYS_SOCKET, []uint32{0}, retNoFam},
		"x32 of read":      {unix.SYS_READ | x32Bit, nil, retNoSys},
		"x32 of mount":     {unix.SYS_MOUNT | x32Bit, nil, retNoSys},
		"future namespace": {unix.SYS_CLONE, []uint32{unix.CLONE_NEWCGROUP}, retEPERM},
	} {
		if got := judge(arch, c.nr, c.args...); got != c.want {
			t.Errorf("%s gives %#x, want %#x", name, got, c.want)
		}
	}
	if got := judge(unix.AUDIT_ARCH_I386, unix.SYS_READ); got != retNoSys {
		t.Errorf("a call of another architecture gives %#x, want ENOSYS", got)
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "tool"), nil, 0o755), os.WriteFile(filepath.Join(dir, "text"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		program string
		env     []string
		path    string
		code    int
	}{
		"by path":           {"./tool", nil, filepath.Join(dir, "tool"), 0},
		"in PATH":           {"tool", []string{"PATH=/none:" + dir}, filepath.Join(dir, "tool"), 0},
		"last PATH counts":  {"tool", []string{"PATH=" + dir, "PATH=/none"}, "", codeNotFound},
		"relative PATH":     {"tool", []string{"PATH=."}, filepath.Join(dir, "tool"), 0},
		"no PATH":           {"tool", nil, "", codeNotFound},
		"no program":        {"./text", nil, "", codeNotExecutable},
		"a directory":       {dir, nil, "", codeNotExecutable},
		"skips what is not": {"text", []string{"PATH=" + dir}, "", codeNotFound},
	} {
		path, code, why := lookPath(c.program, dir, c.env)
		if os.Geteuid() == 0 && c.code == codeNotExecutable && path != "" {
			t.Errorf("%s: even root cannot run a file without an x: %q", name, path)
		}
		if path != c.path || code != c.code || (path == "" && why == "") {
			t.Errorf("%s: lookPath = %q, %d, %q, want %q, %d", name, path, code, why, c.path, c.code)
		}
	}
}
