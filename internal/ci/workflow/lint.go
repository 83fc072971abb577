package workflow

import (
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
)

// place is a line and column of the file.
type place struct{ line, column int }

// lint parses and checks the file with actionlint and notes its errors, but for those at the
// places of our own keys. Its rules for actions, runner labels and called workflows are left
// out: tables of ours take their place. It returns nil when the file has no syntax tree.
func (r *reader) lint(own map[place]bool) *actionlint.Workflow {
	w, errs := actionlint.Parse(r.raw)
	if w != nil {
		errs = append(errs, runRules(w)...)
	}
	errs = slices.DeleteFunc(errs, func(e *actionlint.Error) bool {
		advice := e.Kind == "if-cond" && strings.HasPrefix(e.Message, "constant expression ") // "if: false" runs as it says
		return advice || own[place{e.Line, e.Column}]
	})
	misspelt := slices.ContainsFunc(errs, func(e *actionlint.Error) bool { return strings.HasPrefix(e.Message, "unexpected key ") })
	for _, e := range errs {
		if misspelt && strings.Contains(e.Message, " section is missing") {
			continue // most likely the section is there, under the unexpected key
		}
		line, column := r.relocate(e)
		r.refuse(line, column, "", "%s", e.Message)
	}
	return w
}

func runRules(w *actionlint.Workflow) []*actionlint.Error {
	actions := actionlint.NewLocalActionsCache(nil, nil)
	called := actionlint.NewLocalReusableWorkflowCache(nil, "", nil)
	rules := []actionlint.Rule{
		actionlint.NewRuleMatrix(),
		actionlint.NewRuleCredentials(),
		actionlint.NewRuleShellName(),
		actionlint.NewRuleEvents(),
		actionlint.NewRuleJobNeeds(),
		actionlint.NewRuleEnvVar(),
		actionlint.NewRuleID(),
		actionlint.NewRuleGlob(),
		actionlint.NewRulePermissions(),
		actionlint.NewRuleExpression(actions, called),
		actionlint.NewRuleDeprecatedCommands(),
		actionlint.NewRuleIfCond(),
	}
	v := actionlint.NewVisitor()
	for _, rule := range rules {
		v.AddPass(rule)
	}
	if err := v.Visit(w); err != nil {
		return []*actionlint.Error{{Message: err.Error(), Line: 1, Column: 1}}
	}
	var errs []*actionlint.Error
	for _, rule := range rules {
		errs = append(errs, rule.Errs()...)
	}
	return errs
}

// relocate mends the place of an error inside a block scalar: actionlint counts on from the
// line that holds the indicator.
func (r *reader) relocate(e *actionlint.Error) (line, column int) {
	line, column = max(1, e.Line), max(1, e.Column)
	s, ok := r.blocks[line]
	if e.Kind != "expression" || !ok || column <= s.column {
		return line, column
	}
	return r.locate(line, s.column, false, s.value, column-s.column)
}

// block is a scalar that spans several lines.
type block struct {
	column int
	value  string
}

func isBlock(value string) bool { return strings.Contains(value, "\n") }
