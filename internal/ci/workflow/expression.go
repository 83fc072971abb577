package workflow

import (
	"slices"
	"strings"

	"github.com/rhysd/actionlint"
)

// text parses a string that may hold expressions; nil gives the zero Text.
func (r *reader) text(s *actionlint.String) Text {
	if s == nil {
		return Text{}
	}
	t := Text{source: s.Value, at: position{r.file, s.Pos.Line, s.Pos.Col}}
	rest := s.Value
	for {
		i := strings.Index(rest, "${{")
		if i < 0 {
			break
		}
		start := len(s.Value) - len(rest) + i + 3
		node, length := r.expression(s, start, s.Value[start:])
		if node == nil {
			return t
		}
		if i > 0 {
			t.parts = append(t.parts, part{literal: rest[:i]})
		}
		t.parts = append(t.parts, part{node: node})
		rest = s.Value[start+length:]
	}
	if t.parts != nil && rest != "" {
		t.parts = append(t.parts, part{literal: rest})
	}
	return t
}

// cond parses an if, which is an expression with or without its braces.
func (r *reader) cond(s *actionlint.String) Cond {
	if s == nil {
		return Cond{}
	}
	c := Cond{source: s.Value, at: position{r.file, s.Pos.Line, s.Pos.Col}}
	start, src := 0, s.Value+"}}"
	if i := strings.Index(s.Value, "${{"); i >= 0 {
		start, src = i+3, s.Value[i+3:]
	}
	c.node, _ = r.expression(s, start, src)
	if c.node == nil {
		return c
	}
	actionlint.VisitExprNode(c.node, func(n, _ actionlint.ExprNode, entering bool) {
		if call, ok := n.(*actionlint.FuncCallNode); ok && entering && functionTable[strings.ToLower(call.Callee)].status {
			c.explicit = true
		}
	})
	return c
}

// expression parses the expression that starts at offset start of s, up to its closing braces,
// and checks that this server knows all that it names. length counts the closing braces.
func (r *reader) expression(s *actionlint.String, start int, src string) (node actionlint.ExprNode, length int) {
	lexer := actionlint.NewExprLexer(src)
	node, err := actionlint.NewExprParser().Parse(lexer)
	if err != nil {
		line, column := r.locate(s.Pos.Line, s.Pos.Col, s.Quoted, s.Value, start+err.Offset)
		r.refuse(line, column, "", "the expression is malformed: %s", err.Message)
		return nil, 0
	}
	actionlint.VisitExprNode(node, func(n, _ actionlint.ExprNode, entering bool) {
		if !entering {
			return
		}
		if why, hint := r.unknown(n); why != "" {
			line, column := r.locate(s.Pos.Line, s.Pos.Col, s.Quoted, s.Value, start+n.Token().Offset)
			r.refuse(line, column, hint, "%s", why)
		}
	})
	return node, lexer.Offset()
}

// The contexts and functions of GitHub Actions that this server does not have.
var (
	refusedContexts = map[string]refusal{
		"secrets":  {"CI holds no secrets", "let the delivery's target take the secret"},
		"vars":     {"there are no configuration variables", "write the value into env"},
		"inputs":   {"only a push starts a run, and it has no inputs", "write the value into env"},
		"matrix":   {"a job runs exactly once", "write a job for each row of the matrix"},
		"strategy": {"a job runs exactly once", "write a job for each row of the matrix"},
		"jobs":     {"calling another workflow is not possible", "use needs"},
	}
	refusedFunctions = map[string]refusal{
		"hashfiles": {"files are not read for an expression", "compute the hash in a step and use its output"},
		"case":      {"it is not known here", "write: condition && value || other"},
	}
	knownContexts = []string{"github", "env", "needs", "steps", "job", "runner"}
)

// unknown says why a node is refused, and what to do; "" when it is known.
func (r *reader) unknown(n actionlint.ExprNode) (why, hint string) {
	switch n := n.(type) {
	case *actionlint.VariableNode:
		if no, ok := refusedContexts[n.Name]; ok {
			return "the context " + quote(n.Name) + " is refused: " + no.why, no.hint
		}
		if !slices.Contains(knownContexts, n.Name) {
			return "there is no context " + quote(n.Name), "use one of " + strings.Join(knownContexts, ", ")
		}
	case *actionlint.FuncCallNode:
		name := strings.ToLower(n.Callee)
		if no, ok := refusedFunctions[name]; ok {
			return "the function " + quote(n.Callee) + " is refused: " + no.why, no.hint
		}
		f, ok := functionTable[name]
		if !ok {
			return "there is no function " + quote(n.Callee), "use one of " + strings.Join(sortedKeys(functionTable), ", ")
		}
		if len(n.Args) < f.least || len(n.Args) > f.most {
			return quote(n.Callee) + " takes another number of arguments", "see the documentation of GitHub Actions' expressions"
		}
	case *actionlint.ObjectDerefNode:
		return r.unknownProperty(n.Receiver, n.Property)
	case *actionlint.IndexAccessNode:
		if name, ok := n.Index.(*actionlint.StringNode); ok {
			return r.unknownProperty(n.Operand, strings.ToLower(name.Value))
		}
	}
	return "", ""
}

// unknownProperty refuses what would always be null: a property that this server does not
// fill, or an output that a built-in action does not give.
func (r *reader) unknownProperty(receiver actionlint.ExprNode, name string) (why, hint string) {
	if v, ok := receiver.(*actionlint.VariableNode); ok {
		known, ok := map[string][]string{"github": GithubKeys(), "runner": RunnerKeys(), "job": {"status"}}[v.Name]
		if ok && !slices.Contains(known, name) {
			return "the property " + quote(v.Name+"."+name) + " is refused: it has no value here", "use one of " + strings.Join(known, ", ")
		}
		return "", ""
	}
	outputs, ok := receiver.(*actionlint.ObjectDerefNode)
	if !ok || outputs.Property != "outputs" {
		return "", ""
	}
	step, ok := outputs.Receiver.(*actionlint.ObjectDerefNode)
	if !ok {
		return "", ""
	}
	if v, ok := step.Receiver.(*actionlint.VariableNode); !ok || v.Name != "steps" {
		return "", ""
	}
	known, ok := r.stepOutputs[step.Property]
	if !ok || slices.Contains(known, name) {
		return "", ""
	}
	if len(known) == 0 {
		return "the step " + quote(step.Property) + " has no outputs", "give outputs in a script, by GITHUB_OUTPUT"
	}
	return "the step " + quote(step.Property) + " has no output " + quote(name), "use one of " + strings.Join(known, ", ")
}

// outputsByStep lists the outputs of each step of a job that is a built-in action, by the
// step's id in lower case.
func outputsByStep(j *actionlint.Job) map[string][]string {
	out := map[string][]string{}
	for _, s := range j.Steps {
		a, ok := s.Exec.(*actionlint.ExecAction)
		if !ok || s.ID == nil || a.Uses == nil {
			continue
		}
		name, _, _ := strings.Cut(a.Uses.Value, "@")
		if b, ok := builtins[Action(strings.ToLower(name))]; ok {
			out[strings.ToLower(s.ID.Value)] = b.outputs
		}
	}
	return out
}
