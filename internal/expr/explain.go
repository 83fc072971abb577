package expr

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// Read is a value that an expression looked at.
type Read struct {
	Path  string `json:"path"`  // "evidence.tests.failed"; "has(evidence.sbom)" for a question whether it is there
	Value any    `json:"value"` // as JSON has it; of has, true or false
}

// Explain lists what e looks at in doc, in the order of its text, each path once. What is not
// reached, because the left of an "or" decides, is not in the list; nor is what doc lacks, nor
// the items of a list that a loop goes through (the list is).
func (e *Expr) Explain(ctx context.Context, doc map[string]any) ([]Read, error) {
	prog, err := e.program(cel.OptTrackState)
	if err != nil {
		return nil, fmt.Errorf("explain the expression %s: %w", brief(e.src), err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("explain the expression %s: %w", brief(e.src), err)
	}
	_, det, _ := prog.ContextEval(ctx, normal(doc)) // how it ends is for Bool and String to tell
	state := det.State()
	var out []Read
	for _, c := range e.chains {
		v, ok := state.Value(c.id)
		if !ok || c.local || types.IsUnknownOrError(v) {
			continue
		}
		r := Read{Path: c.path(state), Value: native(v)}
		if !slices.ContainsFunc(out, func(o Read) bool { return o.Path == r.Path }) {
			out = append(out, r)
		}
	}
	return out, nil
}

// chain is a variable and the keys that follow it: evidence.tests.failed, labels["a"].
type chain struct {
	id    int64 // of the last step's node
	root  string
	local bool // the root is the variable of a loop
	test  bool // of has(…)
	steps []step
}

// step is one key of a chain.
type step struct {
	id   int64
	name string   // of .name
	key  ast.Expr // of [key]; nil for .name
}

// path is c as people write it, with the values of its keys where state has them.
func (c chain) path(state interpreter.EvalState) string {
	var b strings.Builder
	b.WriteString(c.root)
	for _, s := range c.steps {
		b.WriteString(s.text(state))
	}
	if c.test {
		return "has(" + b.String() + ")"
	}
	return b.String()
}

// text is the step as it is written behind a path.
func (s step) text(state interpreter.EvalState) string {
	if s.key == nil {
		return "." + s.name
	}
	if v, ok := s.value(state); ok {
		if text, ok := v.Value().(string); ok {
			return fmt.Sprintf("[%q]", text)
		}
		return fmt.Sprintf("[%v]", v.Value())
	}
	return "[…]"
}

// value is the key of the step where it is known.
func (s step) value(state interpreter.EvalState) (ref.Val, bool) {
	switch {
	case s.key == nil:
		return types.String(s.name), true
	case s.key.Kind() == ast.LiteralKind:
		return s.key.AsLiteral(), true
	case state != nil:
		if v, ok := state.Value(s.key.ID()); ok && !types.IsUnknownOrError(v) {
			return v, true
		}
	}
	return nil, false
}

// chains lists the longest chains of e in the order of its text.
func chains(e ast.Expr, vars []string) []chain {
	w := walker{vars: vars}
	w.walk(e)
	return w.found
}

// walker collects chains.
type walker struct {
	vars   []string
	locals []string // variables of the loops around
	found  []chain
}

func (w *walker) walk(e ast.Expr) {
	if c, keys, ok := w.chain(e); ok {
		w.found = append(w.found, c)
		for _, k := range keys {
			w.walk(k)
		}
		return
	}
	switch e.Kind() {
	case ast.CallKind:
		call := e.AsCall()
		if call.IsMemberFunction() {
			w.walk(call.Target())
		}
		w.all(call.Args())
	case ast.SelectKind:
		w.walk(e.AsSelect().Operand())
	case ast.ListKind:
		w.all(e.AsList().Elements())
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			w.all([]ast.Expr{entry.AsMapEntry().Key(), entry.AsMapEntry().Value()})
		}
	case ast.StructKind:
		for _, f := range e.AsStruct().Fields() {
			w.walk(f.AsStructField().Value())
		}
	case ast.ComprehensionKind:
		w.loop(e.AsComprehension())
	case ast.IdentKind, ast.LiteralKind, ast.UnspecifiedExprKind:
	}
}

func (w *walker) all(list []ast.Expr) {
	for _, e := range list {
		w.walk(e)
	}
}

func (w *walker) loop(c ast.ComprehensionExpr) {
	w.walk(c.IterRange())
	w.walk(c.AccuInit())
	n := len(w.locals)
	w.locals = append(w.locals, c.IterVar(), c.IterVar2(), c.AccuVar())
	w.all([]ast.Expr{c.LoopCondition(), c.LoopStep(), c.Result()})
	w.locals = w.locals[:n]
}

// chain reads e as a chain; keys are the expressions in its brackets.
func (w *walker) chain(e ast.Expr) (c chain, keys []ast.Expr, ok bool) {
	c.id = e.ID()
	for {
		switch {
		case e.Kind() == ast.SelectKind:
			s := e.AsSelect()
			c.test = c.test || s.IsTestOnly()
			c.steps = append(c.steps, step{id: e.ID(), name: s.FieldName()})
			e = s.Operand()
		case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index:
			args := e.AsCall().Args()
			c.steps = append(c.steps, step{id: e.ID(), key: args[1]})
			keys = append(keys, args[1])
			e = args[0]
		case e.Kind() == ast.IdentKind:
			c.root, c.local = e.AsIdent(), slices.Contains(w.locals, e.AsIdent())
			slices.Reverse(c.steps)
			slices.Reverse(keys)
			return c, keys, c.local || slices.Contains(w.vars, c.root)
		default:
			return chain{}, nil, false
		}
	}
}
