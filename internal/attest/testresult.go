package attest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Tests is the result of the tests of an artifact.
type Tests struct {
	Passed      int      `json:"passed"`
	Failed      int      `json:"failed"`
	Skipped     int      `json:"skipped"`
	PassedNames []string `json:"passedNames,omitempty"` // at most MaxNames, in the order of the report
	FailedNames []string `json:"failedNames,omitempty"` // at most MaxNames
	Observed    bool     `json:"observed"`              // the service saw it; false: the job claimed it
}

// Type is TypeTests.
func (Tests) Type() string { return TypeTests }

// Ran reports whether any test ran: without one there is no result, neither good nor bad.
func (t Tests) Ran() bool { return t.Passed > 0 || t.Failed > 0 }

// The wire form: the standard's lists of names, and counts beside them since the lists are
// bounded. Format: in-toto attestation, spec/predicates/test-result.md
type testsWire struct {
	Result        string      `json:"result"`
	Configuration []struct{}  `json:"configuration"`
	PassedTests   []string    `json:"passedTests"`
	WarnedTests   []string    `json:"warnedTests"`
	FailedTests   []string    `json:"failedTests"`
	Counts        *testCounts `json:"counts,omitempty"`
	Observed      bool        `json:"observed"`
}

type testCounts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

func (t Tests) wire() any {
	w := testsWire{
		Result: "PASSED", Configuration: []struct{}{}, WarnedTests: []string{},
		PassedTests: bounded(t.PassedNames), FailedTests: bounded(t.FailedNames),
		Counts: &testCounts{t.Passed, t.Failed, t.Skipped}, Observed: t.Observed,
	}
	switch {
	case t.Failed > 0:
		w.Result = "FAILED"
	case !t.Ran():
		w.Result = "WARNED"
	}
	return w
}

func parseTests(raw []byte) (Tests, error) {
	var w struct {
		Result      string      `json:"result"`
		PassedTests []string    `json:"passedTests"`
		FailedTests []string    `json:"failedTests"`
		Counts      *testCounts `json:"counts"`
		Observed    bool        `json:"observed"`
	}
	if err := json.Unmarshal(raw, &w); err != nil {
		return Tests{}, fmt.Errorf("it is no test result: %w", err)
	}
	t := Tests{Observed: w.Observed, PassedNames: bounded(w.PassedTests), FailedNames: bounded(w.FailedTests)}
	if len(t.PassedNames) == 0 {
		t.PassedNames = nil
	}
	if len(t.FailedNames) == 0 {
		t.FailedNames = nil
	}
	t.Passed, t.Failed = len(w.PassedTests), len(w.FailedTests)
	if c := w.Counts; c != nil {
		if c.Passed < 0 || c.Failed < 0 || c.Skipped < 0 {
			return Tests{}, errors.New("a count is negative")
		}
		// Names without their count would make failures disappear.
		t.Passed, t.Failed, t.Skipped = c.Passed, max(c.Failed, len(w.FailedTests)), c.Skipped
	}
	switch w.Result {
	case "PASSED", "WARNED":
	case "FAILED": // a tool that lists no names has still seen a failure
		t.Failed = max(t.Failed, 1)
	default:
		return Tests{}, fmt.Errorf("its result is %q, not PASSED, WARNED or FAILED", clip(w.Result))
	}
	return t, nil
}

func bounded(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names[:min(len(names), MaxNames)]
}

// worse is the result that a gate must reckon with where both were stated.
func (t Tests) worse(o Tests) Tests {
	bad := t
	if o.Failed > t.Failed || (o.Failed == t.Failed && o.Passed < t.Passed) {
		bad = o
	}
	bad.Observed = t.Observed && o.Observed
	return bad
}
