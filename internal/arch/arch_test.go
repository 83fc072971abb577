package arch_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// rules are all checks, by what they are about.
var rules = map[string]func(source) []string{
	"imports": imports,
	"clocks":  clocks,
	"hidden":  hidden,
	"words":   words,
}

func TestLaw(t *testing.T) {
	t.Parallel()
	s, err := read(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.files) < 100 {
		t.Fatalf("read %d files: this is not the whole module", len(s.files))
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range rule(s) {
				t.Error(v)
			}
		})
	}
}

// TestDependencies holds go.mod, the table of owners and docs/dependencies.md together.
func TestDependencies(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.Parse("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct[r.Mod.Path] = true
		if !strings.Contains(string(page), "| `"+r.Mod.Path+"` |") {
			t.Errorf("go.mod: %s has no row in docs/dependencies.md: say its job, why it and not another, and its licence", r.Mod.Path)
		}
	}
	for line := range strings.Lines(string(page)) {
		row, ok := strings.CutPrefix(line, "| `")
		if name, _, _ := strings.Cut(row, "`"); ok && !direct[name] {
			t.Errorf("docs/dependencies.md: %s is no direct dependency in go.mod: take its row away", name)
		}
	}
}
