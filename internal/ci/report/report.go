// Package report reads what test, coverage and analysis tools leave behind, and turns it
// into the predicates that the CI service signs: go test -json and JUnit into attest.Tests,
// a Go coverprofile into attest.Coverage, SARIF and go vet -json into attest.Findings.
//
// The files come from a job, so nothing in them is believed beyond its form: reading is
// streamed where it can be and bounded everywhere, and a report that is empty, cut short or
// says that its tool failed is a fault that names file and line, never a good result. The
// values are marked as claimed (Observed is false).
package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"drawbridge/internal/fault"
)

// Limits of one report.
const (
	MaxReport = 64 << 20 // bytes of a test or coverage report
	MaxSARIF  = 16 << 20 // bytes of a report of findings, which is signed as a whole
	MaxLine   = 4 << 20  // bytes of one line
	maxTests  = 1 << 20  // tests of one report
	maxBlocks = 1 << 21  // blocks of one coverprofile
	maxName   = 512      // bytes of one test's name that are kept
)

// input is one report, read under its limit.
type input struct {
	file string
	*bufio.Reader
	from *limited
}

// limited fails once more than its limit was read; io.LimitReader would cut silently.
type limited struct {
	r      io.Reader
	left   int64
	over   error // what a read over the limit gives
	failed error // why no more is read, unless it is the end
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		n, err = 0, l.over
	}
	if err != nil && !errors.Is(err, io.EOF) {
		l.failed = err
	}
	return n, err
}

// open starts a report: it skips a byte order mark and white space, and returns the first
// byte after them without taking it. An empty report is a fault.
func open(file string, r io.Reader, limit int64) (input, byte, error) {
	tooLarge := at(fault.New(fault.TooLarge, "the report is larger than %d bytes", limit), file).
		WithHint("split the report, or leave out the output of tests that pass")
	from := &limited{r: r, left: limit, over: tooLarge}
	in := input{file, bufio.NewReaderSize(from, 64<<10), from}
	if mark, err := in.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		if _, err := in.Discard(3); err != nil {
			return in, 0, in.failed(err)
		}
	}
	for n := 0; ; n++ {
		b, err := in.Peek(n + 1)
		switch {
		case err == nil && !bytes.ContainsRune([]byte(" \t\r\n"), rune(b[n])):
			return in, b[n], nil
		case errors.Is(err, io.EOF):
			return in, 0, fault.At(file, 0, 0, "the report is empty").WithHint("check that the tool ran and wrote to this file")
		case err != nil:
			return in, 0, in.failed(err)
		}
	}
}

// failed passes faults on and says of any other error what was being done.
func (in input) failed(err error) error {
	switch {
	case fault.As(err) != nil:
		return err
	case errors.Is(err, bufio.ErrBufferFull):
		return fault.At(in.file, 0, 0, "the report starts with too much white space")
	}
	return fmt.Errorf("reading the report %s: %w", in.file, err)
}

func at(f *fault.Error, file string) *fault.Error {
	f.File = file
	return f
}

// lines calls f for each line without its end, numbered from 1.
func (in input) lines(f func(number int, line []byte) error) error {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 0, 64<<10), MaxLine)
	n := 0
	for s.Scan() {
		n++
		if err := f(n, bytes.TrimSuffix(s.Bytes(), []byte("\r"))); err != nil {
			if in.from.failed != nil { // the line was cut: it is not to blame
				return in.failed(in.from.failed)
			}
			return err
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fault.At(in.file, n+1, 0, "the line is longer than %d bytes", MaxLine)
	}
	if s.Err() != nil {
		return in.failed(s.Err())
	}
	return nil
}

// position is the line and column of an offset, both from 1.
func position(src []byte, offset int64) (line, column int) {
	before := src[:min(max(offset, 0), int64(len(src)))]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - bytes.LastIndexByte(before, '\n')
}

// badJSON is a fault at the place of an error of encoding/json. Its syntax errors count from
// the start of src, its type errors from base, where the value's document starts.
func badJSON(file string, src []byte, base int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var offset int64
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset - 1
	case errors.As(err, &kind):
		offset = base + kind.Offset - 1
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset = int64(len(src))
	}
	line, column := position(src, offset)
	return fault.At(file, line, column, "the report is no valid JSON of its kind: %v", err)
}

// clip bounds text from a report.
func clip(s string) string {
	if len(s) > maxName {
		return string([]rune(s[:maxName])) + "…"
	}
	return s
}
