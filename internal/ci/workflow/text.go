package workflow

import (
	"strings"

	"github.com/rhysd/actionlint"

	"drawbridge/internal/fault"
)

// position is a place in the file, for errors at run time.
type position struct {
	file         string
	line, column int
}

func (p position) fault(format string, args ...any) *fault.Error {
	return fault.At(p.file, p.line, p.column, format, args...)
}

// Text is a string of the file that may hold ${{ expressions }}. The zero Text is the
// empty string.
type Text struct {
	source string
	at     position
	parts  []part // nil when there is no expression
}

// part is a piece of a Text: literal text, or an expression.
type part struct {
	literal string
	node    actionlint.ExprNode
}

// Source is the text as written, unevaluated.
func (t Text) Source() string { return t.source }

// IsZero reports whether t is empty.
func (t Text) IsZero() bool { return t.source == "" }

// Literal reports whether t holds no expression.
func (t Text) Literal() bool { return t.parts == nil }

// Eval replaces each expression by its value as GitHub writes it: null as nothing, numbers
// with up to 15 digits. It returns a fault of kind Invalid at t's place in the file when an
// expression cannot be evaluated or passes a limit.
func (t Text) Eval(c Context) (string, error) {
	if t.parts == nil {
		return t.source, nil
	}
	e := evaluator{context: c}
	var b strings.Builder
	for _, p := range t.parts {
		s := p.literal
		if p.node != nil {
			v, err := e.eval(p.node)
			if err != nil {
				return "", t.at.fault("%v", err)
			}
			s = toString(v)
		}
		if b.Len()+len(s) > maxString {
			return "", t.at.fault("the text is over %d bytes after its expressions are evaluated", maxString)
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// EvalAll evaluates each text of m and returns a new map; the first error ends it.
func EvalAll(m map[string]Text, c Context) (map[string]string, error) {
	out := make(map[string]string, len(m))
	for _, k := range sortedKeys(m) {
		s, err := m[k].Eval(c)
		if err != nil {
			return nil, err
		}
		out[k] = s
	}
	return out, nil
}

// Cond is an if. The zero Cond is success().
type Cond struct {
	source   string
	at       position
	node     actionlint.ExprNode // nil means success()
	explicit bool                // it names success, failure, always or cancelled itself
}

// Source is the condition as written; "" for the zero Cond.
func (c Cond) Source() string { return c.source }

// Eval reports whether the condition holds. Unless it names success, failure, always or
// cancelled itself, it holds only if success() does as well. It returns a fault of kind
// Invalid at its place in the file when it cannot be evaluated or passes a limit.
func (c Cond) Eval(ctx Context) (bool, error) {
	if !c.explicit && !ctx.Status.success() {
		return false, nil
	}
	if c.node == nil {
		return true, nil
	}
	e := evaluator{context: ctx}
	v, err := e.eval(c.node)
	if err != nil {
		return false, c.at.fault("if: %v", err)
	}
	return truthy(v), nil
}
