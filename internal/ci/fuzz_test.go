package ci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/fault"
)

// kept collects a log.
type kept struct{ bytes.Buffer }

func (k *kept) Append(_ context.Context, _ int64, p []byte) error { k.Write(p); return nil }
func (k *kept) Close(context.Context, int64) error                { return nil }

// However a step's output is cut into writes, a masked text never reaches the log, and
// each line has its time.
func FuzzMask(f *testing.F) {
	f.Add("hunter2", "a hunter2 b\nhunter2hunter2\n", 3)
	f.Add("ssss", strings.Repeat("s", 3*maxLine), 7)
	f.Add("*** *", "*** **** *", 1)
	f.Add("ab\ncdef", "xab\ncdefx\xff", 2)
	f.Fuzz(func(t *testing.T, secret, text string, size int) {
		if size < 1 || len(secret) < 4 || strings.ContainsAny(secret, "*\n\r") || strings.TrimSpace(secret) != secret {
			return
		}
		var out kept
		log := newJobLog(t.Context(), &out, 1, func() time.Time { return time.Unix(0, 0) }, 1<<30)
		log.mask(secret)
		step := newStepOutput(log)
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if n, err := step.Write(rest[:min(size, len(rest))]); err != nil || n != min(size, len(rest)) {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		step.close()
		for line := range strings.Lines(out.String()) {
			body, ok := strings.CutPrefix(line, "1970-01-01T00:00:00.000Z ")
			if !ok || !strings.HasSuffix(line, "\n") {
				t.Fatalf("the line %q has no time or no end", line)
			}
			if strings.Contains(body, secret) {
				t.Fatalf("the log of %q with size %d holds %q", text, size, secret)
			}
		}
	})
}

// Whatever a step leaves where its answers should be gives values or a fault, and bounded ones.
func FuzzAnswers(f *testing.F) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range map[string]string{"output": "a=b\n", "env": "A<<E\nx\nE\n", "path": "/bin\n", "summary": "# hi"} {
		if err := addFile(w, name, []byte(text)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		files, err := readAnswers(bytes.NewReader(stream))
		if err == nil {
			_, err = parseAnswers(files)
		}
		if err != nil && fault.As(err) == nil {
			t.Errorf("the error is no fault: %v", err)
		}
	})
}

func TestAnswersThatAreLinks(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeSymlink, Name: "output", Linkname: "/etc/shadow"},
		{Typeflag: tar.TypeDir, Name: "env/"},
		{Typeflag: tar.TypeFifo, Name: "path"},
	} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := readAnswers(&b)
	if err != nil || len(files) != 0 {
		t.Errorf("readAnswers = %v, %v, want nothing", files, err)
	}
}

func TestTee(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	text := strings.Repeat("x", 1<<20)
	for name, tt := range map[string]struct{ first, second, want error }{
		"both":         {nil, nil, nil},
		"first fails":  {broken, nil, broken},
		"second fails": {nil, broken, broken},
		"both fail":    {broken, errors.New("other"), broken},
	} {
		err := tee(strings.NewReader(text), stop(tt.first), stop(tt.second))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	err := tee(&limitReader{r: strings.NewReader(text), left: 100}, all, all)
	if !fault.Is(err, fault.TooLarge) {
		t.Errorf("over the limit: %v, want a fault of kind too-large", err)
	}
}

// all reads to the end.
func all(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// stop reads a little and gives err, or everything when err is nil.
func stop(err error) func(io.Reader) error {
	if err == nil {
		return all
	}
	return func(r io.Reader) error {
		_, readErr := io.CopyN(io.Discard, r, 10)
		return errors.Join(err, readErr)
	}
}
