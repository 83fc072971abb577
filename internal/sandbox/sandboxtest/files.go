package sandboxtest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// File is an entry of a tar stream: a regular file unless Type says otherwise.
type File struct {
	Name string
	Type byte // a tar type flag; 0 means a regular file
	Mode int64
	Body string
	Link string
}

// Tar makes a tar stream of files.
func Tar(t *testing.T, files ...File) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Typeflag: f.Type, Mode: f.Mode, Size: int64(len(f.Body)), Linkname: f.Link}
		if f.Type == 0 {
			h.Typeflag = tar.TypeReg
		}
		if f.Mode == 0 {
			h.Mode = 0o644
		}
		if f.Type == tar.TypeXGlobalHeader {
			h = &tar.Header{Typeflag: f.Type, Name: f.Name, PAXRecords: map[string]string{"comment": "x"}}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.Body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// list reads a tar stream: "name mode body" or "name -> link" for each entry.
func list(r io.Reader) ([]string, error) {
	var entries []string
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r)
			return entries, err
		}
		if err != nil {
			return entries, err
		}
		body, err := io.ReadAll(in)
		if err != nil {
			return entries, err
		}
		switch h.Typeflag {
		case tar.TypeSymlink:
			entries = append(entries, h.Name+" -> "+h.Linkname)
		case tar.TypeDir:
			entries = append(entries, h.Name)
		default:
			mode := " "
			if h.Mode&0o100 != 0 {
				mode = " x "
			}
			entries = append(entries, h.Name+mode+string(body))
		}
	}
}

func get(t *testing.T, j ci.Job, path string) []string {
	t.Helper()
	r, err := j.GetFile(t.Context(), path)
	if err != nil {
		t.Fatalf("GetFile(%q): %v", path, err)
	}
	entries, err := list(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("GetFile(%q): %v", path, err)
	}
	return entries
}

func putAndGet(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "files"})
	large := strings.Repeat("0123456789abcdef", 1<<16)
	put := []File{
		{Name: "pax_global_header", Type: tar.TypeXGlobalHeader},
		{Name: "run.sh", Mode: 0o755, Body: "#!/bin/sh\necho ran\n"},
		{Name: "closed/", Type: tar.TypeDir, Mode: 0o555},
		{Name: "closed/in", Body: "in"},
		{Name: "deep/er/large", Body: large},
		{Name: "deep/link", Type: tar.TypeSymlink, Link: "../run.sh"},
		{Name: "hard", Type: tar.TypeLink, Link: "run.sh"},
		{Name: "setuid", Mode: 0o4755, Body: "s"},
	}
	if err := j.PutFile(t.Context(), "src", Tar(t, put...)); err != nil {
		t.Fatal(err)
	}
	if exit, out := Shell(t, j, "src/run.sh && src/deep/link && test ! -u src/setuid && echo new >> src/closed/in && mkfifo src/pipe"); exit.Code != 0 || out.Out() != "ran\nran\n" {
		t.Errorf("running what was put: %+v, %q", exit, out.Out())
	}
	want := []string{
		"closed/", "closed/in innew\n", "deep/", "deep/er/", "deep/er/large " + large, "deep/link -> ../run.sh",
		"hard x #!/bin/sh\necho ran\n", "run.sh x #!/bin/sh\necho ran\n", "setuid x s",
	}
	if got := get(t, j, "src"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("GetFile(src) = %.300q, want %.300q", got, want)
	}
	if got := get(t, j, "src/closed/in"); len(got) != 1 || got[0] != "in innew\n" {
		t.Errorf("GetFile of a file = %q", got)
	}
	// Again over what is there: files are replaced, links not followed.
	Shell(t, j, "echo precious > precious && rm src/run.sh && ln -s ../precious src/run.sh")
	if err := j.PutFile(t.Context(), "src", Tar(t, put...)); err != nil {
		t.Fatal(err)
	}
	if _, out := Shell(t, j, "cat precious; src/run.sh"); out.Out() != "precious\nran\n" {
		t.Errorf("after a second PutFile: %q", out.Out())
	}
	for _, path := range []string{"/tmp/a", "/cache/a", ".", ""} {
		if err := j.PutFile(t.Context(), path, Tar(t, File{Name: "f", Body: "x"})); err != nil {
			t.Errorf("PutFile(%q): %v", path, err)
		}
	}
	if exit, out := Shell(t, j, "cat /tmp/a/f /cache/a/f f"); exit.Code != 0 || out.Out() != "xxx" {
		t.Errorf("what was put is %q (%+v)", out.Out(), exit)
	}
	if got := get(t, j, "/tmp/a"); len(got) != 1 || got[0] != "f x" {
		t.Errorf("GetFile(/tmp/a) = %q", got)
	}
}

func putRefuses(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "refuse"})
	Shell(t, j, "ln -s /tmp out; ln -s .. up; mkdir sub; ln -s /tmp sub/out")
	for name, c := range map[string]struct {
		path string
		file File
	}{
		"dot dot":           {".", File{Name: "../evil", Body: "x"}},
		"dot dot inside":    {".", File{Name: "a/../../evil", Body: "x"}},
		"absolute":          {".", File{Name: "/tmp/evil", Body: "x"}},
		"absolute link":     {".", File{Name: "l", Type: tar.TypeSymlink, Link: "/etc/passwd"}},
		"link out":          {".", File{Name: "a/l", Type: tar.TypeSymlink, Link: "../../etc"}},
		"hard link out":     {".", File{Name: "l", Type: tar.TypeLink, Link: "../../etc/passwd"}},
		"hard link by link": {".", File{Name: "l", Type: tar.TypeLink, Link: "out/x"}},
		"through a link":    {".", File{Name: "out/evil", Body: "x"}},
		"through a link up": {".", File{Name: "up/evil", Body: "x"}},
		"into a link":       {"out", File{Name: "evil", Body: "x"}},
		"beneath a link":    {"sub/out/d", File{Name: "evil", Body: "x"}},
		"device":            {".", File{Name: "d", Type: tar.TypeBlock}},
		"pipe":              {".", File{Name: "p", Type: tar.TypeFifo}},
		"path out":          {"../etc", File{Name: "f", Body: "x"}},
		"absolute path":     {"/etc", File{Name: "f", Body: "x"}},
		"beside tmp":        {"/tmpx", File{Name: "f", Body: "x"}},
		"out of tmp":        {"/tmp/../etc", File{Name: "f", Body: "x"}},
	} {
		if err := j.PutFile(t.Context(), c.path, Tar(t, c.file)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: PutFile(%q, %+v) = %v, want a fault of kind Invalid", name, c.path, c.file, err)
		}
	}
	if err := j.PutFile(t.Context(), ".", strings.NewReader(strings.Repeat("no tar ", 100_000))); !fault.Is(err, fault.Invalid) {
		t.Errorf("PutFile of what is no tar: %v, want a fault of kind Invalid", err)
	}
	if err := j.PutFile(t.Context(), ".", io.LimitReader(Tar(t, File{Name: "half", Body: strings.Repeat("x", 4096)}), 2048)); err == nil {
		t.Error("PutFile took half a stream")
	}
	broken := io.MultiReader(Tar(t, File{Name: "whole", Body: "x"}), iotestErr{errors.New("lost")})
	if err := j.PutFile(t.Context(), ".", broken); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("PutFile of a stream that fails: %v, want its error", err)
	}
	if exit, out := Shell(t, j, "! find . /tmp /cache /etc -name 'evil*' 2>/dev/null | grep ."); exit.Code != 0 {
		t.Errorf("a refused stream has left %s", out.Out())
	}
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

func getRefuses(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "get"})
	Shell(t, j, "ln -s /etc/passwd secret; ln -s /etc dir; mkdir -p d && ln -s /etc/passwd d/secret; ln -s ../.. d/up; ln -s d in; echo > /cache/f")
	for path, kind := range map[string]fault.Kind{
		"missing": fault.NotFound, "d/missing/deep": fault.NotFound, "/tmp/missing": fault.NotFound,
		"secret": fault.Invalid, "dir": fault.Invalid, "dir/passwd": fault.Invalid, "d/up/etc": fault.Invalid,
		"../etc/passwd": fault.Invalid, "/etc/passwd": fault.Invalid, "/tmp/../etc": fault.Invalid, "/proc/self": fault.Invalid, "/cache/f": fault.Invalid,
	} {
		r, err := j.GetFile(t.Context(), path)
		if !fault.Is(err, kind) {
			t.Errorf("GetFile(%q) = %v, want a fault of kind %s", path, err, kind)
		}
		if r != nil {
			_ = r.Close()
		}
	}
	// Beneath a directory links are told, not followed; a link that stays inside leads on.
	for _, path := range []string{"d", "in"} {
		if got := get(t, j, path); strings.Join(got, ",") != "secret -> /etc/passwd,up -> ../.." {
			t.Errorf("GetFile(%q) = %q, want the links themselves", path, got)
		}
	}
}

func getFreezes(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "freeze"})
	Shell(t, j, "mkdir d; i=0; (while :; do i=$((i+1)); echo $i > d/a.new; mv d/a.new d/a; echo $i > d/b.new; mv d/b.new d/b; done) & while ! test -e d/b; do :; done")
	for range 20 {
		got := strings.Join(get(t, j, "d/a"), "")
		r, err := j.GetFile(t.Context(), "d")
		if err != nil {
			t.Fatal(err)
		}
		entries, err := list(r)
		if err != nil {
			t.Fatalf("a stream of files that a process changes: %v", err)
		}
		if len(entries) < 2 || len(got) == 0 {
			t.Fatalf("GetFile(d) = %q", entries)
		}
		_ = r.Close()
	}
	if exit, _ := Shell(t, j, "was=$(cat d/a); while test \"$was\" = \"$(cat d/a)\"; do :; done"); exit.Code != 0 {
		t.Error("the frozen process does not go on")
	}
}

func getStoppedEarly(t *testing.T, x ci.Executor) {
	j := Open(t, x, ci.JobSpec{ID: "early"})
	Shell(t, j, "head -c 10000000 /dev/zero > large; (while :; do date > beat; sleep 0.01; done) &")
	r, err := j.GetFile(t.Context(), "large")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Errorf("Close of a stream: %v", err)
		}
	}
	if exit, _ := Shell(t, j, "rm -f beat; while ! test -e beat; do sleep 0.01; done"); exit.Code != 0 {
		t.Error("the job's processes do not go on after a stream that was closed early")
	}
}
