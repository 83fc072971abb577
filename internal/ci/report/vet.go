package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// The tool's name in SARIF and in Findings.ByTool.
const vetName = "go vet"

const sarifSchema = "https://json.schemastore.org/sarif-2.1.0.json"

// sarifLog is a SARIF log whose runs are kept as they are.
type sarifLog struct {
	Schema  string            `json:"$schema,omitempty"`
	Version string            `json:"version"`
	Runs    []json.RawMessage `json:"runs"`
}

func (l sarifLog) encode() (json.RawMessage, error) {
	l.Schema, l.Version = sarifSchema, "2.1.0"
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encoding a SARIF log: %w", err)
	}
	if len(b) > MaxSARIF {
		return nil, fault.New(fault.TooLarge, "the findings of a run are larger than %d bytes together", MaxSARIF)
	}
	return b, nil
}

type sarifRun struct {
	Tool struct {
		Driver struct {
			Name  string      `json:"name"`
			Rules []sarifRule `json:"rules,omitempty"`
		} `json:"driver"`
	} `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifRule struct {
	ID string `json:"id"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations,omitempty"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifLocation struct {
	Physical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region *sarifRegion `json:"region,omitempty"`
	} `json:"physicalLocation"`
}

type sarifRegion struct {
	Line   int `json:"startLine"`
	Column int `json:"startColumn,omitempty"`
}

// diagnostic is one finding of go vet.
type diagnostic struct {
	Posn    string `json:"posn"`
	Message string `json:"message"`
}

// vet reads go vet -json: an object for each package, of analyzers and their findings, with
// comment lines between. An analyzer that failed has an object with an error in place of
// its list.
func vet(file string, src []byte) (attest.Findings, error) {
	text := blankComments(src)
	d := json.NewDecoder(bytes.NewReader(text))
	var run sarifRun
	run.Tool.Driver.Name = vetName
	rules, objects := map[string]bool{}, 0
	for {
		base := d.InputOffset()
		var packages map[string]map[string]json.RawMessage
		err := d.Decode(&packages)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return attest.Findings{}, badJSON(file, text, base, err)
		}
		objects++
		for _, name := range slices.Sorted(maps.Keys(packages)) {
			for _, analyzer := range slices.Sorted(maps.Keys(packages[name])) {
				found, err := results(file, name, analyzer, packages[name][analyzer])
				if err != nil {
					return attest.Findings{}, err
				}
				run.Results = append(run.Results, found...)
				rules[analyzer] = true
			}
		}
	}
	if objects == 0 {
		return attest.Findings{}, fault.At(file, 0, 0, "the report holds no package").WithHint("check that go vet ran")
	}
	return vetFindings(run, rules)
}

func vetFindings(run sarifRun, rules map[string]bool) (attest.Findings, error) {
	for _, id := range slices.Sorted(maps.Keys(rules)) {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{id})
	}
	slices.SortStableFunc(run.Results, func(a, b sarifResult) int { return cmp.Compare(a.RuleID, b.RuleID) })
	if run.Results == nil {
		run.Results = []sarifResult{}
	}
	raw, err := json.Marshal(run)
	if err != nil {
		return attest.Findings{}, fmt.Errorf("encoding findings of go vet: %w", err)
	}
	log, err := sarifLog{Runs: []json.RawMessage{raw}}.encode()
	if err != nil {
		return attest.Findings{}, err
	}
	f, err := attest.CountSARIF(log)
	if err != nil {
		return attest.Findings{}, fmt.Errorf("counting findings of go vet: %w", err)
	}
	f.SARIF = log
	return f, nil
}

func results(file, name, analyzer string, raw json.RawMessage) ([]sarifResult, error) {
	var list []diagnostic
	if err := json.Unmarshal(raw, &list); err != nil {
		var failure struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(raw, &failure) == nil && failure.Error != "" {
			return nil, fault.At(file, 0, 0, "go vet could not analyse %s with %s: %s", clip(name), clip(analyzer), clip(failure.Error))
		}
		return nil, fault.At(file, 0, 0, "the report is no output of go vet -json: %s of package %s is no list", clip(analyzer), clip(name))
	}
	out := make([]sarifResult, 0, len(list))
	for _, f := range list {
		out = append(out, sarifResult{RuleID: analyzer, Level: "warning", Message: sarifText{f.Message}, Locations: location(f.Posn)})
	}
	return out, nil
}

// location reads "file:line:column"; without a file there is none.
func location(posn string) []sarifLocation {
	parts := strings.Split(posn, ":")
	var numbers []int
	for len(parts) > 1 && len(numbers) < 2 {
		n, err := strconv.ParseUint(parts[len(parts)-1], 10, 31)
		if err != nil || n == 0 {
			break
		}
		numbers = append([]int{int(n)}, numbers...)
		parts = parts[:len(parts)-1]
	}
	var l sarifLocation
	l.Physical.Artifact.URI = strings.Join(parts, ":")
	if l.Physical.Artifact.URI == "" {
		return nil
	}
	if len(numbers) > 0 {
		l.Physical.Region = &sarifRegion{Line: numbers[0]}
	}
	if len(numbers) > 1 {
		l.Physical.Region.Column = numbers[1]
	}
	return []sarifLocation{l}
}

// blankComments puts blanks in place of the lines that start with #, so that offsets stay.
func blankComments(src []byte) []byte {
	out := bytes.Clone(src)
	for i, start := 0, true; i < len(out); i++ {
		if start && out[i] == '#' {
			for ; i < len(out) && out[i] != '\n'; i++ {
				out[i] = ' '
			}
		}
		start = i < len(out) && out[i] == '\n'
	}
	return out
}
