package ci

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"drawbridge/internal/attest"
	"drawbridge/internal/ci/report"
	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// The kinds of report, which are also the inputs of drawbridge/report.
const (
	kindTests    = "tests"
	kindCoverage = "coverage"
	kindFindings = "findings"
)

// kinds are in the order in which they are read.
var kinds = []string{kindTests, kindCoverage, kindFindings}

// report performs drawbridge/report: each named file is read, parsed and kept as a claim
// of the job. A report that cannot be read fails the step; what it says does not.
func (a *attempt) report(ctx context.Context, def *workflow.Step) (stepEnd, error) {
	with, err := workflow.EvalAll(def.With, a.context())
	if err != nil {
		return failedBy(err)
	}
	var reports []Report
	for _, kind := range kinds {
		file := with[kind]
		if file == "" {
			continue
		}
		body, text, err := a.readReport(ctx, kind, file)
		if err != nil {
			return failedBy(err)
		}
		a.log.notice("notice", "%s: %s", file, text)
		reports = append(reports, Report{Run: a.runs.ID, Job: a.job.ID, Attempt: a.job.Attempt, Kind: kind, File: clip(file), Body: body})
	}
	if len(reports) == 0 {
		return failedStep("none of tests, coverage and findings names a file"), nil
	}
	if err := a.s.Store.Save(ctx, Change{Reports: reports}); err != nil {
		return stepEnd{}, fmt.Errorf("save reports: %w", err)
	}
	return stepEnd{state: StepSucceeded}, nil
}

// readReport reads one report out of the job; text says in one line what it holds.
func (a *attempt) readReport(ctx context.Context, kind, file string) (body json.RawMessage, text string, err error) {
	stream, err := a.open.GetFile(ctx, file)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	t := tar.NewReader(stream)
	h, err := t.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, "", fault.New(fault.Invalid, "%s is no file", file)
	case err != nil:
		return nil, "", fmt.Errorf("read %s: %w", file, err)
	case h.Typeflag != tar.TypeReg:
		return nil, "", fault.New(fault.Invalid, "%s is no regular file", file).WithHint("name one report")
	}
	claim, text, err := parseReport(kind, file, t)
	if err != nil {
		return nil, "", err
	}
	body, err = json.Marshal(claim)
	return body, text, err
}

func parseReport(kind, file string, r io.Reader) (claim any, text string, err error) {
	switch kind {
	case kindTests:
		t, err := report.Tests(file, r)
		return t, fmt.Sprintf("%d tests passed, %d failed, %d skipped", t.Passed, t.Failed, t.Skipped), err
	case kindCoverage:
		c, err := report.Coverage(file, r)
		return c, fmt.Sprintf("coverage %.1f %%", 100*c.Line), err
	case kindFindings:
		f, err := report.Findings(file, r)
		return f, fmt.Sprintf("%d critical, %d high, %d medium, %d low findings", f.Critical, f.High, f.Medium, f.Low), err
	}
	return nil, "", fmt.Errorf("no such kind of report: %s", kind)
}

// claimsOf adds up the reports that the counting attempts handed in: one predicate of
// each kind of which there is any.
func claimsOf(reports []Report, jobs []RunJob) ([]attest.Predicate, error) {
	var tests *attest.Tests
	var coverage *attest.Coverage
	var findings *attest.Findings
	for _, r := range reports {
		if !counts(r, jobs) {
			continue
		}
		var err error
		switch r.Kind {
		case kindTests:
			tests, err = merge(tests, r, always(report.MergeTests))
		case kindCoverage:
			coverage, err = merge(coverage, r, always(report.MergeCoverage))
		case kindFindings:
			findings, err = merge(findings, r, report.MergeFindings)
		}
		if err != nil {
			return nil, err
		}
	}
	var claims []attest.Predicate
	if tests != nil {
		claims = append(claims, *tests)
	}
	if coverage != nil {
		claims = append(claims, *coverage)
	}
	if findings != nil {
		claims = append(claims, *findings)
	}
	return claims, nil
}

func always[T any](f func(a, b T) T) func(a, b T) (T, error) {
	return func(a, b T) (T, error) { return f(a, b), nil }
}

// merge adds the claim in r to sum, which is nil before the first.
func merge[T any](sum *T, r Report, add func(a, b T) (T, error)) (*T, error) {
	var one T
	if err := json.Unmarshal(r.Body, &one); err != nil {
		return nil, fmt.Errorf("read the report %s: %w", r.File, err)
	}
	if sum == nil {
		return &one, nil
	}
	both, err := add(*sum, one)
	if err != nil {
		return nil, fmt.Errorf("add up the reports: %w", err)
	}
	return &both, nil
}

// counts reports whether r is of an attempt that succeeded.
func counts(r Report, jobs []RunJob) bool {
	for _, j := range jobs {
		if j.ID == r.Job {
			return j.Attempt == r.Attempt && j.State == JobSucceeded
		}
	}
	return false
}
