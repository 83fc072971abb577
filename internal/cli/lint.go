package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/webhook"
)

func newLint(c *console) *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE...", Short: "Check files, without a server",
		Long: "Check files without a server: deliveries, trust, receivers, policies, workloads and the states of\n" +
			"environments (environments/NAME.yaml), which say their kind, and workflows. A file may hold several\n" +
			"documents with a line of --- between them. A FILE of - is standard input.\n" +
			"Every problem is a line with FILE:LINE:COLUMN on standard error.",
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
	list, err := documents(name, src)
	if err != nil {
		return flatten(err)
	}
	var problems []error
	var found []string
	for _, d := range list {
		for _, p := range d.problems() {
			problems = append(problems, flatten(d.move(p))...)
		}
		if kind := words(d.kind); !slices.Contains(found, kind) {
			found = append(found, kind)
		}
	}
	if len(problems) == 0 {
		c.say("%s: no problems (%s)", name, strings.Join(found, ", "))
	}
	return problems
}

// words is a kind as people write it.
func words(kind string) string {
	if kind == kindState {
		return "environment state"
	}
	return strings.ToLower(kind)
}

// problems returns every problem of d, with its place in d.
func (d document) problems() []error {
	var err error
	switch d.kind {
	case cd.KindDelivery:
		_, err = cd.ParseDelivery(d.file, d.src)
	case kindTrust:
		_, err = attest.ParseTrust(d.file, d.src)
	case bridge.KindReceiver:
		_, err = bridge.ParseReceiver(d.file, d.src, senders())
	case bridge.KindPolicy:
		_, err = bridge.ParsePolicy(d.file, d.src)
	case identity.KindWorkload:
		_, err = identity.ParseWorkload(d.file, d.src)
	case kindState:
		err = d.state()
	case kindWorkflow:
		var out []error
		for _, p := range workflow.Check(d.file, d.src) {
			out = append(out, p)
		}
		return out
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// state checks the state of an environment, which its file's name names.
func (d document) state() error {
	if !d.alone {
		return fault.At(d.file, 1, 1, "the state of an environment is a file of its own").WithHint("write environments/NAME.yaml")
	}
	if _, err := bridge.ParseState(d.file, d.src); err != nil || d.file == stdin {
		return err
	}
	if name, yaml := nameOf(d.file); !yaml || strings.HasPrefix(name, ".") {
		return fault.At(d.file, 0, 0, "a trigger on git does not read this file").WithHint("name it environments/NAME.yaml")
	}
	_, err := bridge.ParseStates(map[string][]byte{d.file: d.src})
	return err
}

// senders are the types that a receiver may have.
func senders() []string {
	var names []string
	for _, s := range webhook.Senders() {
		names = append(names, s.Name)
	}
	return names
}
