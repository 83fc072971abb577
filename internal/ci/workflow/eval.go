package workflow

import (
	"errors"
	"fmt"
	"math"

	"github.com/rhysd/actionlint"
)

// Limits of one evaluation. They hold for hostile files: a sensible one comes near none.
const (
	maxString     = 1 << 20 // bytes of one string
	maxWork       = 1 << 18 // nodes and elements visited
	maxBytes      = 8 << 20 // bytes of all strings made together
	maxExpression = 21000   // bytes of one expression, as on GitHub
	maxDepth      = 50      // nested parentheses, brackets and negations, as on GitHub
)

// evaluator evaluates expressions over one context, under limits that cover all of them.
type evaluator struct {
	context Context
	work    int
	bytes   int
}

var errTooLong = fmt.Errorf("the expression makes a string of over %d bytes", maxString)

// spend counts n nodes or elements visited.
func (e *evaluator) spend(n int) error {
	if e.work += n; e.work > maxWork {
		return errors.New("the expression takes too many steps")
	}
	return nil
}

// made counts a string that was made.
func (e *evaluator) made(s string) (any, error) {
	if len(s) > maxString {
		return nil, errTooLong
	}
	if e.bytes += len(s); e.bytes > maxBytes {
		return nil, errors.New("the expression makes too much text")
	}
	return s, nil
}

func (e *evaluator) eval(n actionlint.ExprNode) (any, error) {
	if err := e.spend(1); err != nil {
		return nil, err
	}
	switch n := n.(type) {
	case *actionlint.NullNode:
		return nil, nil
	case *actionlint.BoolNode:
		return n.Value, nil
	case *actionlint.IntNode:
		return float64(n.Value), nil
	case *actionlint.FloatNode:
		return n.Value, nil
	case *actionlint.StringNode:
		return n.Value, nil
	case *actionlint.VariableNode:
		return e.variable(n.Name)
	case *actionlint.ObjectDerefNode:
		return e.deref(n.Receiver, n.Property)
	case *actionlint.ArrayDerefNode:
		return e.filter(n)
	case *actionlint.IndexAccessNode:
		return e.index(n)
	case *actionlint.NotOpNode:
		v, err := e.eval(n.Operand)
		return !truthy(v), err
	case *actionlint.CompareOpNode:
		return e.compare(n)
	case *actionlint.LogicalOpNode:
		return e.logical(n)
	case *actionlint.FuncCallNode:
		return e.call(n)
	}
	return nil, fmt.Errorf("the expression holds a %T, which is not known", n)
}

func (e *evaluator) variable(name string) (any, error) {
	c := e.context
	m, ok := map[string]map[string]any{
		"github": c.Github, "env": c.Env, "needs": c.Needs, "steps": c.Steps, "job": c.Job, "runner": c.Runner,
	}[name]
	if !ok {
		return nil, fmt.Errorf("there is no context %q", name)
	}
	if m == nil {
		m = map[string]any{}
	}
	return m, nil
}

func (e *evaluator) deref(receiver actionlint.ExprNode, name string) (any, error) {
	v, err := e.eval(receiver)
	if err != nil {
		return nil, err
	}
	return e.property(v, name)
}

func (e *evaluator) property(v any, name string) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		return property(v, name), e.spend(len(v))
	case filtered:
		out := filtered{}
		for _, el := range v {
			if err := e.spend(1); err != nil {
				return nil, err
			}
			m, ok := el.(map[string]any)
			if !ok {
				continue
			}
			if p := property(m, name); p != nil {
				out = append(out, p)
			}
		}
		return out, nil
	}
	return nil, nil
}

// filter is x.*: the elements of a list, the values of an object, of each where x is filtered.
func (e *evaluator) filter(n *actionlint.ArrayDerefNode) (any, error) {
	v, err := e.eval(n.Receiver)
	if err != nil {
		return nil, err
	}
	out := filtered{}
	if many, ok := v.(filtered); ok {
		for _, el := range many {
			out = append(out, elements(el)...)
			if err := e.spend(1 + len(out)); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	out = append(out, elements(v)...)
	return out, e.spend(len(out))
}

func elements(v any) []any {
	switch v := v.(type) {
	case []any:
		return normals(v)
	case map[string]any:
		out := make([]any, 0, len(v))
		for _, k := range sortedKeys(v) {
			out = append(out, normal(v[k]))
		}
		return out
	}
	return nil
}

func normals(v []any) []any {
	out := make([]any, len(v))
	for i, el := range v {
		out[i] = normal(el)
	}
	return out
}

func (e *evaluator) index(n *actionlint.IndexAccessNode) (any, error) {
	v, err := e.eval(n.Operand)
	if err != nil {
		return nil, err
	}
	i, err := e.eval(n.Index)
	if err != nil {
		return nil, err
	}
	var elems []any
	switch v := v.(type) {
	case []any:
		elems = v
	case filtered:
		if name, ok := i.(string); ok {
			return e.property(v, name)
		}
		elems = v
	case map[string]any:
		if !isPrimitive(i) {
			return nil, nil
		}
		return e.property(v, toString(i))
	default:
		return nil, nil
	}
	f := math.Floor(toNumber(i))
	if math.IsNaN(f) || f < 0 || f >= float64(len(elems)) {
		return nil, nil
	}
	return normal(elems[int(f)]), nil
}

func (e *evaluator) compare(n *actionlint.CompareOpNode) (any, error) {
	a, err := e.eval(n.Left)
	if err != nil {
		return nil, err
	}
	b, err := e.eval(n.Right)
	if err != nil {
		return nil, err
	}
	order, ok := compare(a, b)
	switch n.Kind {
	case actionlint.CompareOpNodeKindEq:
		return ok && order == 0, nil
	case actionlint.CompareOpNodeKindNotEq:
		return !ok || order != 0, nil
	case actionlint.CompareOpNodeKindLess:
		return ok && order < 0, nil
	case actionlint.CompareOpNodeKindLessEq:
		return ok && order <= 0, nil
	case actionlint.CompareOpNodeKindGreater:
		return ok && order > 0, nil
	case actionlint.CompareOpNodeKindGreaterEq:
		return ok && order >= 0, nil
	case actionlint.CompareOpNodeKindInvalid:
	}
	return nil, errors.New("the comparison is malformed")
}

// logical gives one of its operands, not a bool: a && 'x' || 'y' chooses.
func (e *evaluator) logical(n *actionlint.LogicalOpNode) (any, error) {
	a, err := e.eval(n.Left)
	if err != nil {
		return nil, err
	}
	if truthy(a) == (n.Kind == actionlint.LogicalOpNodeKindOr) {
		return a, nil
	}
	return e.eval(n.Right)
}
