package workflow

import "github.com/rhysd/actionlint"

// TextOf parses a string of a file for tests of the evaluator alone.
func TextOf(s string) (Text, bool) {
	r := &reader{source: newSource("w.yml", []byte(s))}
	t := r.text(&actionlint.String{Value: s, Pos: &actionlint.Pos{Line: 1, Col: 1}})
	return t, len(r.problems) == 0
}

// CondOf parses an if for tests of the evaluator alone.
func CondOf(s string) (Cond, bool) {
	r := &reader{source: newSource("w.yml", []byte(s))}
	c := r.cond(&actionlint.String{Value: s, Pos: &actionlint.Pos{Line: 1, Col: 1}})
	return c, len(r.problems) == 0
}
