package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/attest"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

const kindWorkflow = "Workflow"

func newLint(c *console) *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE...", Short: "Check a delivery, trust or workflow file, without a server",
		Long: "Check files without a server: deliveries and trust files, which say their kind, and workflows.\n" +
			"Every problem is a line with FILE:LINE:COLUMN on standard error. A FILE of - is standard input.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fault.New(fault.Invalid, "no FILE named").WithHint("%s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			var problems []error
			for _, file := range args {
				problems = append(problems, c.lint(file)...)
			}
			return errors.Join(problems...)
		},
	}
}

// lint returns every problem of a file.
func (c *console) lint(file string) []error {
	name, src, err := c.read(file)
	if err != nil {
		return []error{err}
	}
	kind, err := kindOf(name, src)
	if err != nil {
		return []error{err}
	}
	var problems []error
	switch kind {
	case cd.KindDelivery:
		_, err = cd.ParseDelivery(name, src)
	case kindTrust:
		_, err = attest.ParseTrust(name, src)
	case kindWorkflow:
		for _, p := range workflow.Check(name, src) {
			problems = append(problems, p)
		}
	}
	if err != nil {
		problems = append(problems, err)
	}
	if len(problems) == 0 {
		c.say("%s: no problems (%s)", name, strings.ToLower(kind))
	}
	return problems
}

const kindTrust = "Trust"

// kindOf tells what a file is by its keys at the left margin, so that a file with
// mistakes in it is still known for what it should be.
func kindOf(name string, src []byte) (string, error) {
	keys := map[string]string{}
	lines := map[string]int{}
	n := 0
	for line := range strings.Lines(string(src)) {
		n++
		key, value, found := strings.Cut(line, ":")
		if _, twice := keys[key]; found && !twice {
			value, _, _ = strings.Cut(value, " #")
			keys[key], lines[key] = strings.Trim(strings.TrimSpace(value), `"'`), n
		}
	}
	if kind, ok := keys["kind"]; ok {
		if kind == cd.KindDelivery || kind == kindTrust {
			return kind, nil
		}
		return "", fault.At(name, lines["kind"], 1, "%.40q is no kind of file", kind).WithHint("write kind: Delivery or kind: Trust")
	}
	for _, key := range []string{"on", "jobs", `"on"`, `'on'`} {
		if _, ok := keys[key]; ok {
			return kindWorkflow, nil
		}
	}
	return "", fault.At(name, 1, 1, "this is no delivery, trust or workflow file").
		WithHint("a delivery or trust file says kind: Delivery or kind: Trust, a workflow has on: and jobs:")
}
