package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// severity orders findings; the higher the worse.
type severity int

const (
	none severity = iota
	low
	medium
	high
	critical
)

// sarif is the part of a SARIF 2.1.0 log that counting needs.
type sarif struct {
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver struct {
			Name  string      `json:"name"`
			Rules []sarifRule `json:"rules"`
		} `json:"driver"`
	} `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifRule struct {
	ID                   string          `json:"id"`
	Properties           sarifProperties `json:"properties"`
	DefaultConfiguration struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
}

type sarifProperties struct {
	SecuritySeverity json.RawMessage `json:"security-severity"` // CVSS score, as GitHub reads it; a string, of some tools a number
}

func (p sarifProperties) score() string { return strings.Trim(string(p.SecuritySeverity), `"`) }

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    *int              `json:"ruleIndex"`
	Level        string            `json:"level"`
	Kind         string            `json:"kind"`
	Suppressions []json.RawMessage `json:"suppressions"`
	Properties   sarifProperties   `json:"properties"`
}

// CountSARIF counts the findings of a SARIF 2.1.0 log by severity: the CVSS score in
// security-severity (9 critical, 7 high, 4 medium, above 0 low), else the level (error is
// high, warning medium, note low). Suppressed results and those of a kind other than fail
// do not count. The result has no SARIF.
func CountSARIF(log []byte) (Findings, error) {
	var s sarif
	if err := json.Unmarshal(log, &s); err != nil {
		return Findings{}, fmt.Errorf("it is no SARIF log: %w", err)
	}
	if s.Version != "2.1.0" || s.Runs == nil {
		return Findings{}, errors.New("it is no SARIF log of version 2.1.0")
	}
	var f Findings
	for _, run := range s.Runs {
		byID := make(map[string]sarifRule, len(run.Tool.Driver.Rules))
		for _, rule := range run.Tool.Driver.Rules {
			byID[rule.ID] = rule
		}
		for _, r := range run.Results {
			if (r.Kind != "" && r.Kind != "fail") || len(r.Suppressions) > 0 {
				continue
			}
			rule := byID[r.RuleID]
			if i := r.RuleIndex; i != nil && *i >= 0 && *i < len(run.Tool.Driver.Rules) {
				rule = run.Tool.Driver.Rules[*i]
			}
			f.add(r.severity(rule), clip(run.Tool.Driver.Name))
		}
	}
	return f, nil
}

func (r sarifResult) severity(rule sarifRule) severity {
	for _, score := range []string{r.Properties.score(), rule.Properties.score()} {
		if score != "" {
			return parseSeverity(score)
		}
	}
	level := r.Level
	if level == "" {
		level = rule.DefaultConfiguration.Level
	}
	switch level {
	case "error":
		return high
	case "note":
		return low
	case "none":
		return none
	}
	return medium // "warning", which is the default
}

// parseSeverity reads a CVSS score or a word. What it does not know is high: not known is
// not harmless.
func parseSeverity(s string) severity {
	if score, err := strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(score) {
		switch {
		case score >= 9:
			return critical
		case score >= 7:
			return high
		case score >= 4:
			return medium
		case score > 0:
			return low
		}
		return none
	}
	switch strings.ToLower(s) {
	case "critical":
		return critical
	case "medium", "moderate":
		return medium
	case "low", "negligible":
		return low
	case "none":
		return none
	}
	return high
}
