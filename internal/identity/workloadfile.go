package identity

import (
	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

// KindWorkload is the kind of the files that hold rules for workloads.
const KindWorkload = "Workload"

// workloadFile is a rule as an admin writes it.
type workloadFile struct {
	APIVersion string `json:"apiVersion" jsonschema:"enum=drawbridge/v1"`
	Kind       string `json:"kind" jsonschema:"enum=Workload"`

	Name         string            `json:"name"`
	Issuer       string            `json:"issuer" jsonschema:"description=As the iss of the tokens has it."`
	Audience     string            `json:"audience,omitempty" jsonschema:"description=Omitted: the server's own URL."`
	Subject      string            `json:"subject" jsonschema:"description=Pattern of the token's sub; * stands for one or more characters other than / and :."`
	Claims       map[string]string `json:"claims,omitempty" jsonschema:"description=Patterns of further claims\\, all of which the token must have."`
	Applications []string          `json:"applications" jsonschema:"minItems=1"`
}

func (f workloadFile) rule() Workload {
	return Workload{Name: f.Name, Issuer: f.Issuer, Audience: f.Audience, Subject: f.Subject, Claims: f.Claims, Applications: f.Applications}
}

// ParseWorkload reads the file of one rule; file is its name as the user knows it. Every
// mistake is a fault with line and column.
func ParseWorkload(file string, src []byte) (Workload, error) {
	var w workloadFile
	f, err := yamlfile.Decode(file, src, &w)
	if err != nil {
		return Workload{}, err
	}
	switch {
	case w.APIVersion != "drawbridge/v1":
		return Workload{}, f.At("apiVersion", "apiVersion is %q", w.APIVersion).WithHint("write apiVersion: drawbridge/v1")
	case w.Kind != KindWorkload:
		return Workload{}, f.At("kind", "kind is %q", w.Kind).WithHint("write kind: Workload")
	}
	if wrong := fault.As(w.rule().Check()); wrong != nil {
		e := f.At(wrong.Field, "%s %s", wrong.Field, wrong.Message)
		if wrong.Hint != "" {
			e = e.WithHint("%s", wrong.Hint)
		}
		return Workload{}, e
	}
	return w.rule(), nil
}
