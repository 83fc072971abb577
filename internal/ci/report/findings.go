package report

import (
	"bytes"
	"encoding/json"
	"io"

	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// Findings reads a report of findings: SARIF 2.1.0, or go vet -json. The result holds a SARIF
// log in either case. SARIF's severities are those of attest.CountSARIF; each finding of
// go vet is a warning, which is medium. A report whose tool did not finish is a fault of kind
// Invalid; one without findings is not.
func Findings(file string, r io.Reader) (attest.Findings, error) {
	in, first, err := open(file, r, MaxSARIF)
	if err != nil {
		return attest.Findings{}, err
	}
	if first != '{' && first != '#' {
		return attest.Findings{}, fault.At(file, 1, 0, "the report is neither SARIF nor go vet -json").
			WithHint("write standard output alone: go vet -json ./... > %s", file)
	}
	src, err := io.ReadAll(in)
	if err != nil {
		return attest.Findings{}, in.failed(err)
	}
	if isSARIF(src) {
		return sarif(file, src)
	}
	return vet(file, src)
}

// isSARIF tells SARIF from the output of go vet, whose keys are package paths. Broken JSON is
// SARIF when it looks like it.
func isSARIF(src []byte) bool {
	var head struct {
		Schema json.RawMessage `json:"$schema"`
		Runs   json.RawMessage `json:"runs"`
	}
	if err := json.Unmarshal(src, &head); err != nil {
		return bytes.Contains(src[:min(len(src), 4096)], []byte(`"runs"`)) || bytes.Contains(src[:min(len(src), 4096)], []byte(`"$schema"`))
	}
	return head.Schema != nil || bytes.HasPrefix(bytes.TrimSpace(head.Runs), []byte("["))
}

func sarif(file string, src []byte) (attest.Findings, error) {
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Name string `json:"name"`
				} `json:"driver"`
			} `json:"tool"`
			Invocations []struct {
				Successful *bool `json:"executionSuccessful"`
			} `json:"invocations"`
			Results *[]json.RawMessage `json:"results"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(src, &log); err != nil {
		return attest.Findings{}, badJSON(file, src, 0, err)
	}
	if len(log.Runs) == 0 {
		return attest.Findings{}, fault.At(file, 0, 0, "the report holds no run of a tool").WithHint("check that the tool ran")
	}
	for i, run := range log.Runs {
		name := run.Tool.Driver.Name
		if name == "" {
			return attest.Findings{}, fault.At(file, 0, 0, "runs[%d] names no tool", i).WithHint("SARIF needs tool.driver.name")
		}
		broken := run.Results == nil
		for _, in := range run.Invocations {
			broken = broken || (in.Successful != nil && !*in.Successful)
		}
		if broken {
			return attest.Findings{}, fault.At(file, 0, 0, "runs[%d]: %s did not finish: it has no results or says that it failed", i, clip(name)).
				WithHint("look at the tool's own output")
		}
	}
	f, err := attest.CountSARIF(src)
	if err != nil {
		return attest.Findings{}, fault.Wrap(fault.Invalid, err, "%s: %v", file, err).WithHint("write SARIF 2.1.0")
	}
	f.SARIF = bytes.TrimSpace(src)
	return f, nil
}

// MergeFindings is the findings of two reports together, with one SARIF log that holds the
// runs of both. It returns a fault of kind TooLarge when that is over MaxSARIF.
func MergeFindings(a, b attest.Findings) (attest.Findings, error) {
	var both sarifLog
	for _, f := range []attest.Findings{a, b} {
		if f.SARIF == nil {
			continue
		}
		var log sarifLog
		if err := json.Unmarshal(f.SARIF, &log); err != nil {
			return attest.Findings{}, fault.Wrap(fault.Invalid, err, "a report of findings is no SARIF log")
		}
		both.Runs = append(both.Runs, log.Runs...)
	}
	out := attest.Findings{
		Critical: a.Critical + b.Critical, High: a.High + b.High, Medium: a.Medium + b.Medium, Low: a.Low + b.Low,
		Observed: a.Observed && b.Observed,
	}
	for _, f := range []attest.Findings{a, b} {
		for tool, n := range f.ByTool {
			if out.ByTool == nil {
				out.ByTool = map[string]int{}
			}
			out.ByTool[tool] += n
		}
	}
	if both.Runs == nil {
		return out, nil
	}
	log, err := both.encode()
	if err != nil {
		return attest.Findings{}, err
	}
	out.SARIF = log
	return out, nil
}
