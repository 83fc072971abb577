package workflow

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"drawbridge/internal/fault"
)

// Parse reads a workflow file. It returns a fault of kind Invalid at the first of the
// problems that Check lists, and no workflow then. file is the name that faults carry.
func Parse(file string, src []byte) (*Workflow, error) {
	w, problems := read(file, src)
	if len(problems) > 0 {
		return nil, problems[0]
	}
	return w, nil
}

// Check lists every problem of a workflow file, sorted by position: mistakes in the syntax,
// and whatever this server does not run. Nil means that Parse accepts the file.
func Check(file string, src []byte) []*fault.Error {
	_, problems := read(file, src)
	return problems
}

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:79]) + "…"
	}
	return s
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
