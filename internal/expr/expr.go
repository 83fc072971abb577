// Package expr is the language of conditions and mappings in files that users write: CEL,
// compiled once when the file is loaded and run over documents, which are values as JSON
// has them.
//
// An expression knows the variables that Compile is given and nothing else: no clock, no
// network, no state. Names are checked when it is compiled, its cost is estimated then and
// limited when it runs. What a document does not have is an error that names the path, never
// false, zero or empty: has(a.b) asks whether it is there. The functions are those of CEL
// and, of its strings extension, lowerAscii, upperAscii, trim, substring, replace, split and
// join. Whole numbers of a document are int and others double: they compare with each other,
// but sums of both need double(…) around each.
package expr

import (
	"context"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"

	"drawbridge/internal/fault"
)

// Kind is the kind of value that an expression gives.
type Kind string

// The kinds of values.
const (
	Bool   Kind = "bool"   // a condition
	String Kind = "string" // a mapping
)

// Limits of one expression.
const (
	MaxSource = 4096    // bytes of its text
	MaxCost   = 100_000 // CEL's units of one run: about one for each operation, a tenth for each character looked at
)

// Expr is a compiled expression. It never changes and is safe for concurrent use.
type Expr struct {
	src    string
	result Kind
	env    *cel.Env
	ast    *cel.Ast
	prog   cel.Program
	chains []chain
}

// Compile checks src, which is to give a value of kind result, over the variables vars: the
// names that stand on the first level of every document. What is wrong is a fault of kind
// Invalid whose message begins with the place in src, "line:column: ", both from 1; an
// expression that may cost too much is a fault of kind TooLarge.
func Compile(src string, result Kind, vars ...string) (*Expr, error) {
	if len(src) > MaxSource {
		return nil, fault.New(fault.TooLarge, "an expression has at most %d bytes, not %d", MaxSource, len(src))
	}
	env, err := environment(vars)
	if err != nil {
		return nil, fmt.Errorf("make the environment of an expression: %w", err)
	}
	ast, issues := env.Compile(src)
	if issues.Err() != nil {
		return nil, issueFault(src, issues.Errors(), vars)
	}
	if err := checkResult(ast, result); err != nil {
		return nil, err
	}
	if err := checkCost(env, ast); err != nil {
		return nil, err
	}
	e := &Expr{src: src, result: result, env: env, ast: ast, chains: chains(ast.NativeRep().Expr(), vars)}
	if e.prog, err = e.program(); err != nil {
		return nil, fault.New(fault.Invalid, "1:1: %v", err)
	}
	return e, nil
}

// Source is the text that was compiled.
func (e *Expr) Source() string { return e.src }

// Bool runs e, which was compiled for a Bool, over doc. A value that doc does not have is a
// fault of kind NotFound, one of the wrong type Invalid, too much work TooLarge; when ctx ends
// its error is returned. The bool is false with every error.
func (e *Expr) Bool(ctx context.Context, doc map[string]any) (bool, error) {
	v, err := e.run(ctx, doc)
	if err != nil {
		return false, err
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, fault.New(fault.Invalid, "the condition %s gives %s, not true or false", brief(e.src), typeName(v))
	}
	return b, nil
}

// String runs e, which was compiled for a String, over doc. Its errors are those of Bool.
func (e *Expr) String(ctx context.Context, doc map[string]any) (string, error) {
	v, err := e.run(ctx, doc)
	if err != nil {
		return "", err
	}
	s, ok := v.Value().(string)
	if !ok {
		return "", fault.New(fault.Invalid, "the expression %s gives %s, not a string", brief(e.src), typeName(v)).
			WithHint("write string(…) around it")
	}
	return s, nil
}

func (e *Expr) run(ctx context.Context, doc map[string]any) (ref.Val, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("run the expression %s: %w", brief(e.src), err)
	}
	clean := normal(doc)
	v, _, err := e.prog.ContextEval(ctx, clean)
	if err != nil {
		return nil, e.runFault(ctx, clean, err)
	}
	return v, nil
}

// program is e ready to run, within the limits.
func (e *Expr) program(more ...cel.EvalOption) (cel.Program, error) {
	const steps = 100 // of a loop, between two looks at the context
	return e.env.Program(e.ast,
		cel.CostTracking(work{}), cel.CostLimit(MaxCost), cel.InterruptCheckFrequency(steps), cel.EvalOptions(more...))
}
