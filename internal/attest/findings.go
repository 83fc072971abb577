package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// Findings counts what scanners found in an artifact, by severity.
type Findings struct {
	Critical int             `json:"critical"`
	High     int             `json:"high"`
	Medium   int             `json:"medium"`
	Low      int             `json:"low"`
	ByTool   map[string]int  `json:"byTool,omitempty"` // findings of all severities, by the tool's name
	SARIF    json.RawMessage `json:"sarif,omitempty"`  // SARIF 2.1.0 log with every finding; nil in Evidence
	Observed bool            `json:"observed"`         // the service saw it; false: the job claimed it
}

// Type is TypeFindings.
func (Findings) Type() string { return TypeFindings }

// add counts one finding.
func (f *Findings) add(s severity, tool string) {
	switch s {
	case critical:
		f.Critical++
	case high:
		f.High++
	case medium:
		f.Medium++
	case low:
		f.Low++
	case none:
		return
	}
	if f.ByTool == nil {
		f.ByTool = map[string]int{}
	}
	f.ByTool[tool]++
}

// The wire form: in-toto's vulnerability scan, with the whole SARIF log where cosign's form
// has it, in scanner.result, and counts beside it. cosign's form has no counts; in-toto's
// own list of results is read too. Format: in-toto attestation, spec/predicates/vulns.md
type findingsWire struct {
	Scanner  scannerWire `json:"scanner"`
	Metadata struct{}    `json:"metadata"`
	Counts   *countsWire `json:"counts,omitempty"`
	Observed bool        `json:"observed"`
}

type scannerWire struct {
	URI    string          `json:"uri"`
	Result json.RawMessage `json:"result"`
}

type countsWire struct {
	Critical int            `json:"critical"`
	High     int            `json:"high"`
	Medium   int            `json:"medium"`
	Low      int            `json:"low"`
	ByTool   map[string]int `json:"byTool,omitempty"`
}

func (f Findings) wire() any {
	w := findingsWire{Observed: f.Observed, Counts: &countsWire{f.Critical, f.High, f.Medium, f.Low, f.ByTool}}
	w.Scanner = scannerWire{URI: "https://drawbridge.dev/scan", Result: f.SARIF}
	if f.SARIF == nil {
		w.Scanner.Result = json.RawMessage("[]")
	}
	return w
}

func parseFindings(raw []byte) (Findings, error) {
	var w findingsWire
	if err := json.Unmarshal(raw, &w); err != nil {
		return Findings{}, fmt.Errorf("it is no scan result: %w", err)
	}
	f, err := countResult(w.Scanner)
	if err != nil {
		return Findings{}, err
	}
	f.Observed = w.Observed
	if c := w.Counts; c != nil {
		if c.Critical < 0 || c.High < 0 || c.Medium < 0 || c.Low < 0 {
			return Findings{}, errors.New("a count is negative")
		}
		f.Critical, f.High, f.Medium, f.Low, f.ByTool = c.Critical, c.High, c.Medium, c.Low, c.ByTool
	}
	return f, nil
}

// countResult counts scanner.result: a SARIF log, or in-toto's list.
func countResult(s scannerWire) (Findings, error) {
	if len(s.Result) > 0 && s.Result[0] == '[' {
		return countList(s)
	}
	f, err := CountSARIF(s.Result)
	f.SARIF = s.Result
	return f, err
}

// countList counts in-toto's list: each entry by its worst severity.
func countList(s scannerWire) (Findings, error) {
	var list []struct {
		Severity []struct {
			Score string `json:"score"`
		} `json:"severity"`
	}
	if err := json.Unmarshal(s.Result, &list); err != nil {
		return Findings{}, fmt.Errorf("scanner.result is no list of vulnerabilities: %w", err)
	}
	var f Findings
	for _, v := range list {
		worst := none
		for _, sev := range v.Severity {
			worst = max(worst, parseSeverity(sev.Score))
		}
		if len(v.Severity) == 0 {
			worst = high // not known is not harmless
		}
		f.add(worst, clip(s.URI))
	}
	return f, nil
}

// worse is, severity by severity, what a gate must reckon with where both were stated.
func (f Findings) worse(o Findings) Findings {
	bad := Findings{
		Critical: max(f.Critical, o.Critical), High: max(f.High, o.High), Medium: max(f.Medium, o.Medium), Low: max(f.Low, o.Low),
		ByTool: maps.Clone(f.ByTool), Observed: f.Observed && o.Observed,
	}
	for tool, n := range o.ByTool {
		if bad.ByTool == nil {
			bad.ByTool = map[string]int{}
		}
		bad.ByTool[tool] = max(bad.ByTool[tool], n)
	}
	return bad
}
