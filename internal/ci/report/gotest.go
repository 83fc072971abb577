package report

import (
	"encoding/json"
	"maps"
	"slices"

	"drawbridge/internal/fault"
)

// event is one line of go test -json.
type event struct {
	Action      string
	Package     string
	Test        string
	FailedBuild string
}

// pkg is a package whose tests are running.
type pkg struct {
	line    int             // of its first event
	failed  bool            // one of its tests did
	running map[string]bool // tests that started and have not ended
}

// goTest reads go test -json. Tests and subtests count each. A package that fails without a
// failed test (it does not build, or exits by itself) counts as one failed test; so does a test
// that started and never ended. A package that never ends means that the report is cut short.
func (t *tally) goTest(in input) error {
	unended := map[string]*pkg{}
	err := in.lines(func(n int, line []byte) error {
		if len(line) == 0 {
			return nil
		}
		var e event
		if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
			return fault.At(t.file, n, 0, "the line is no event of go test -json").
				WithHint("write standard output alone: go test -json ./... > %s", t.file)
		}
		if e.Package == "" || e.Action == "output" {
			return nil // text, of the build or of tests
		}
		return t.event(unended, e, n)
	})
	if err != nil {
		return err
	}
	if len(unended) > 0 {
		name := slices.Min(slices.Collect(maps.Keys(unended)))
		return fault.At(t.file, unended[name].line, 0, "the report is cut short: package %s starts here and never ends", clip(name)).
			WithHint("check that go test was not killed and the disk is not full")
	}
	return nil
}

func (t *tally) event(unended map[string]*pkg, e event, line int) error {
	p := unended[e.Package]
	if p == nil {
		p = &pkg{line: line, running: map[string]bool{}}
		unended[e.Package] = p
	}
	if e.Test == "" {
		switch e.Action {
		case "pass", "fail", "skip":
			delete(unended, e.Package)
			return t.ended(p, e, line)
		}
		return nil
	}
	name := e.Package + "." + e.Test
	var o outcome
	switch e.Action {
	case "run":
		if p.running[e.Test] = true; len(p.running) > maxTests {
			return fault.At(t.file, line, 0, "more than %d tests run at once", maxTests)
		}
		return nil
	case "pass":
		o = passed
	case "fail":
		o, p.failed = failed, true
	case "skip":
		o = skipped
	default:
		return nil
	}
	delete(p.running, e.Test)
	return t.add(o, name, line)
}

// ended settles a package at its last event.
func (t *tally) ended(p *pkg, e event, line int) error {
	for _, test := range slices.Sorted(maps.Keys(p.running)) {
		p.failed = true
		if err := t.add(failed, e.Package+"."+test+" (never ended)", line); err != nil {
			return err
		}
	}
	switch {
	case e.Action != "fail" || p.failed:
		return nil
	case e.FailedBuild != "":
		return t.add(failed, e.Package+" (does not build)", line)
	}
	return t.add(failed, e.Package, line)
}
