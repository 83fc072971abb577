package workflow_test

import (
	"testing"

	"drawbridge/internal/ci/workflow"
)

// The pattern rows are the examples of GitHub's filter pattern cheat sheet.
func TestPushMatches(t *testing.T) {
	for _, row := range []struct {
		filter  string
		yes, no []string
	}{
		{"", []string{"refs/heads/main", "refs/tags/v1"}, []string{"refs/notes/x", "main", "refs/heads", "", "refs/pull/1/head"}},
		{"branches: [main]", []string{"refs/heads/main"}, []string{"refs/heads/main2", "refs/heads/a/main", "refs/tags/main"}},
		{"tags: ['v*']", []string{"refs/tags/v1", "refs/tags/v"}, []string{"refs/tags/v1/x", "refs/heads/v1"}},
		{"{branches: [main], tags: ['v*']}", []string{"refs/heads/main", "refs/tags/v1"}, []string{"refs/heads/v1", "refs/tags/main"}},
		{"branches-ignore: ['wip/**']", []string{"refs/heads/main"}, []string{"refs/heads/wip/a/b", "refs/tags/v1"}},
		{"tags-ignore: [nightly]", []string{"refs/tags/v1"}, []string{"refs/tags/nightly", "refs/heads/main"}},
		{"branches: ['releases/**', '!releases/**-alpha']", []string{"refs/heads/releases/10"}, []string{"refs/heads/releases/beta/3-alpha"}},
		{"branches: ['**', '!x', 'x']", []string{"refs/heads/x"}, nil},
		{"branches: ['feature/*']", []string{"refs/heads/feature/my-branch"}, []string{"refs/heads/feature/a/b", "refs/heads/feature"}},
		{"branches: ['feature/**']", []string{"refs/heads/feature/beta-a/my-branch"}, nil},
		{"branches: ['*']", []string{"refs/heads/main"}, []string{"refs/heads/a/b"}},
		{"branches: ['**']", []string{"refs/heads/main", "refs/heads/a/b"}, nil},
		{"branches: ['*feature']", []string{"refs/heads/mona-feature", "refs/heads/feature"}, []string{"refs/heads/feature2"}},
		{"branches: ['v2*']", []string{"refs/heads/v2", "refs/heads/v2.9"}, nil},
		{"tags: ['v[12].[0-9]+.[0-9]+']", []string{"refs/tags/v1.10.1", "refs/tags/v2.0.0"}, []string{"refs/tags/v3.0.0", "refs/tags/v1x0x0"}},
		{"branches: ['colou?r']", []string{"refs/heads/color", "refs/heads/colour"}, []string{"refs/heads/colouur"}},
		{"branches: ['(a|b)']", []string{"refs/heads/(a|b)"}, []string{"refs/heads/a"}},
		{"branches: ['a.b$']", []string{"refs/heads/a.b$"}, []string{"refs/heads/axb"}},
		{"branches: ['main\\+']", []string{"refs/heads/main+"}, []string{"refs/heads/mainn"}},
	} {
		on := "on: push\n"
		if row.filter != "" {
			on = "on: {push: {" + trimBraces(row.filter) + "}}\n"
		}
		w := parse(t, on+"jobs: {a: {runs-on: linux, steps: [{run: 'true'}]}}\n")
		for _, ref := range row.yes {
			if !w.Push.Matches(ref) {
				t.Errorf("%s does not match %s", row.filter, ref)
			}
		}
		for _, ref := range row.no {
			if w.Push.Matches(ref) {
				t.Errorf("%s matches %s", row.filter, ref)
			}
		}
	}
	if !(workflow.Push{}).Matches("refs/heads/x") {
		t.Error("the zero Push must match every branch")
	}
}

func trimBraces(s string) string {
	if s[0] == '{' {
		return s[1 : len(s)-1]
	}
	return s
}
