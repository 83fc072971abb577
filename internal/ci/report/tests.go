package report

import (
	"io"

	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// Tests reads the report of a test run: go test -json, or JUnit XML as most tools write it.
// file is the name that faults carry. A report without any test is a fault of kind Invalid:
// nothing was proven.
func Tests(file string, r io.Reader) (attest.Tests, error) {
	in, first, err := open(file, r, MaxReport)
	if err != nil {
		return attest.Tests{}, err
	}
	var t tally
	t.file = file
	switch first {
	case '{':
		err = t.goTest(in)
	case '<':
		err = t.junit(in)
	default:
		err = fault.At(file, 1, 0, "the report is neither go test -json nor JUnit XML").
			WithHint("write standard output alone: go test -json ./... > %s", file)
	}
	if err != nil {
		return attest.Tests{}, err
	}
	if t.Passed+t.Failed+t.Skipped == 0 {
		return attest.Tests{}, fault.At(file, 0, 0, "the report holds no tests").WithHint("check that the tests ran, and all of them")
	}
	return t.Tests, nil
}

// MergeTests is the result of two reports of different tests together.
func MergeTests(a, b attest.Tests) attest.Tests {
	return attest.Tests{
		Passed: a.Passed + b.Passed, Failed: a.Failed + b.Failed, Skipped: a.Skipped + b.Skipped,
		PassedNames: bounded(a.PassedNames, b.PassedNames), FailedNames: bounded(a.FailedNames, b.FailedNames),
		Observed: a.Observed && b.Observed,
	}
}

func bounded(a, b []string) []string {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := append(append(make([]string, 0, len(a)+len(b)), a...), b...)
	return all[:min(len(all), attest.MaxNames)]
}

// tally counts tests under the limits.
type tally struct {
	attest.Tests
	file string
}

// outcome is how one test ended.
type outcome int

const (
	passed outcome = iota
	failed
	skipped
)

func (t *tally) add(o outcome, name string, line int) error {
	switch o {
	case passed:
		t.Passed++
		t.PassedNames = keep(t.PassedNames, name)
	case failed:
		t.Failed++
		t.FailedNames = keep(t.FailedNames, name)
	case skipped:
		t.Skipped++
	}
	if t.Passed+t.Failed+t.Skipped > maxTests {
		return fault.At(t.file, line, 0, "the report holds more than %d tests", maxTests)
	}
	return nil
}

func keep(names []string, name string) []string {
	if len(names) >= attest.MaxNames {
		return names
	}
	return append(names, clip(name))
}
