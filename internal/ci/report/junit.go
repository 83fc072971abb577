package report

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"

	"drawbridge/internal/fault"
)

// maxDepth bounds the nesting of elements; real reports need five.
const maxDepth = 64

// junit reads JUnit XML: testsuites, or one testsuite, nested to any sensible depth. A test
// case with a failure or error failed, one with skipped was skipped. Where the root's own
// attributes count more failures than there are failed cases, those count: a crashed suite
// leaves no case. A document type is refused, so there are no entities to expand.
func (t *tally) junit(in input) error {
	d := xml.NewDecoder(in)
	s := junitState{tally: t}
	for {
		token, err := d.RawToken()
		line, column := d.InputPos()
		if errors.Is(err, io.EOF) {
			return s.finish(line)
		}
		if in.from.failed != nil {
			return in.failed(in.from.failed)
		}
		if err != nil {
			return fault.At(t.file, line, column, "the XML is malformed: %v", err)
		}
		switch e := token.(type) {
		case xml.Directive:
			return fault.At(t.file, line, column, "a document type is refused in a report").WithHint("write plain JUnit XML")
		case xml.StartElement:
			err = s.start(e, line)
		case xml.EndElement:
			err = s.end(e, line)
		}
		if err != nil {
			return err
		}
	}
}

// junitState is where the reader stands.
type junitState struct {
	*tally
	path    []string // names of the open elements
	inCase  bool
	name    string
	outcome outcome
	total   int // failures and errors by the attributes of the root
	claimed int // the same by the outermost suites that count them
}

func (s *junitState) start(e xml.StartElement, line int) error {
	name := e.Name.Local
	if len(s.path) == 0 && name != "testsuites" && name != "testsuite" {
		return fault.At(s.file, line, 0, "the XML is no JUnit report: its root is <%s>, not <testsuites> or <testsuite>", clip(name))
	}
	s.path = append(s.path, name)
	if len(s.path) > maxDepth {
		return fault.At(s.file, line, 0, "the XML is nested deeper than %d", maxDepth)
	}
	switch name {
	case "testsuites":
		if len(s.path) > 1 {
			break
		}
		s.total = s.claims(e)
		s.claimed = s.total
	case "testsuite":
		if len(s.path) == 1 || (len(s.path) == 2 && s.total == 0) {
			s.claimed += s.claims(e)
		}
	case "testcase":
		s.inCase, s.outcome, s.name = true, passed, attribute(e, "name")
		if class := attribute(e, "classname"); class != "" {
			s.name = class + "." + s.name
		}
	case "failure", "error":
		s.mark(failed)
	case "skipped":
		if s.outcome != failed {
			s.mark(skipped)
		}
	}
	return nil
}

func (s *junitState) mark(o outcome) {
	if s.inCase {
		s.outcome = o
	}
}

// claims is how many failures and errors a suite's own attributes count.
func (s *junitState) claims(e xml.StartElement) int {
	sum := 0
	for _, key := range []string{"failures", "errors"} {
		if n, err := strconv.Atoi(attribute(e, key)); err == nil && n > 0 {
			sum += min(n, maxTests)
		}
	}
	return sum
}

func (s *junitState) end(e xml.EndElement, line int) error {
	name := e.Name.Local
	if len(s.path) == 0 || s.path[len(s.path)-1] != name {
		return fault.At(s.file, line, 0, "the XML is malformed: </%s> closes nothing", clip(name))
	}
	s.path = s.path[:len(s.path)-1]
	if name != "testcase" {
		return nil
	}
	s.inCase = false
	return s.add(s.outcome, s.name, line)
}

func (s *junitState) finish(line int) error {
	if len(s.path) > 0 {
		return fault.At(s.file, line, 0, "the report is cut short: <%s> is not closed", clip(s.path[len(s.path)-1]))
	}
	s.Failed = max(s.Failed, s.claimed)
	return nil
}

func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
