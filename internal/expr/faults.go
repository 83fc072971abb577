package expr

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	missingKey = regexp.MustCompile(`^no such (?:key|attribute\(s\)): (.*)$`)
	syntax     = regexp.MustCompile(`^(?:mismatched|extraneous) input (.*) expecting .*$`)
	overload   = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
)

// functions are the names that a misspelt function is compared with.
var functions = []string{
	"has", "all", "exists", "exists_one", "filter", "map", "size", "contains", "startsWith", "endsWith", "matches",
	"string", "int", "double", "bool", "timestamp", "duration", "type",
	"lowerAscii", "upperAscii", "trim", "substring", "replace", "split", "join",
}

// issueFault is what is wrong with the text of an expression: the first thing of issues.
func issueFault(src string, issues []*common.Error, vars []string) error {
	first := issues[0]
	for _, i := range issues {
		if before(i.Location, first.Location) {
			first = i
		}
	}
	line, column := max(first.Location.Line(), 1), max(first.Location.Column(), 0)
	if m := undeclared.FindStringSubmatch(first.Message); m != nil {
		if start, ok := calls(src, line, column, m[1]); ok {
			return unknown(line, start, "function", m[1], functions)
		}
		return unknown(line, column, "name", m[1], vars)
	}
	if m := overload.FindStringSubmatch(first.Message); m != nil {
		name := m[1]
		if sign, ok := operators.FindReverse(name); ok && sign != "" {
			name = sign
		}
		return fault.New(fault.Invalid, "%d:%d: %s cannot be used with %s", line, column+1, name, m[2])
	}
	text := strings.TrimPrefix(first.Message, "Syntax error: ")
	if m := syntax.FindStringSubmatch(text); m != nil {
		text = "unexpected " + strings.Replace(m[1], "'<EOF>'", "end of the expression", 1)
	}
	return fault.New(fault.Invalid, "%d:%d: %s", line, column+1, text)
}

// unknown says that nothing has this name, and which of known comes near it.
func unknown(line, column int, what, name string, known []string) error {
	text := fmt.Sprintf("%d:%d: unknown %s %s", line, column+1, what, name)
	if len(known) == 0 {
		return fault.New(fault.Invalid, "%s", text)
	}
	s := yamlfile.Suggest(name, known)
	if strings.HasPrefix(s, "did you mean") {
		text += ": " + s
	}
	return fault.New(fault.Invalid, "%s", text).WithHint("%s", s)
}

// calls reports whether the place, the column from 0, is the parenthesis behind name, and
// where name begins.
func calls(src string, line, column int, name string) (start int, ok bool) {
	lines := strings.Split(src, "\n")
	if line > len(lines) {
		return 0, false
	}
	text := []rune(lines[line-1])
	start = column - len([]rune(name))
	if column >= len(text) || text[column] != '(' || start < 0 {
		return 0, false
	}
	if string(text[start:column]) != name {
		return column, true // blanks between them
	}
	return start, true
}

func before(a, b common.Location) bool {
	return a.Line() < b.Line() || a.Line() == b.Line() && a.Column() < b.Column()
}

// runFault is why a run over doc gave no value.
func (e *Expr) runFault(ctx context.Context, doc map[string]any, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("run the expression %s: %w", brief(e.src), ctx.Err())
	}
	if c, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && c.Cause != interpreter.ContextCancelled {
		return fault.New(fault.TooLarge, "the expression %s costs more than %d over this document", brief(e.src), MaxCost).
			WithHint("nest fewer loops in one another, or look at less text")
	}
	if errors.Is(err, errLong) {
		return fault.New(fault.TooLarge, "the expression %s stopped: %v", brief(e.src), errLong)
	}
	if m := missingKey.FindStringSubmatch(err.Error()); m != nil {
		path := e.missing(doc, m[1], err)
		return fault.New(fault.NotFound, "no such key: %s", path).WithHint("ask first whether it is there: has(%s) && …", path)
	}
	stopped := fault.New(fault.Invalid, "the expression %s stopped: %v", brief(e.src), err)
	if strings.HasPrefix(err.Error(), "no such overload") {
		return stopped.WithHint("a value is of another type than its neighbour: compare like with like; for sums write double(…) around both numbers")
	}
	return stopped
}

// missing is the path of the key that doc lacks, as far as the chains tell, else the key.
func (e *Expr) missing(doc map[string]any, key string, err error) string {
	id := int64(0)
	if v, ok := errors.AsType[*types.Err](err); ok {
		id = v.NodeID()
	}
	for _, c := range e.chains {
		if c.has(id) {
			if path, ok := c.lacks(doc, key); ok {
				return path
			}
		}
	}
	for _, c := range e.chains {
		if path, ok := c.lacks(doc, key); ok {
			return path
		}
	}
	return key
}

// has reports whether the node id is one of c's.
func (c chain) has(id int64) bool {
	if c.id == id {
		return true
	}
	for _, s := range c.steps {
		if s.id == id {
			return true
		}
	}
	return false
}

// lacks is c up to the step named key, if doc ends before it. A loop's variable stands for
// any document.
func (c chain) lacks(doc map[string]any, key string) (string, bool) {
	path := c.root
	at, ok := doc[c.root]
	if !ok && !c.local {
		return path, key == c.root
	}
	for _, s := range c.steps {
		path += s.text(nil)
		v, known := s.value(nil)
		if !known {
			return "", false
		}
		name := fmt.Sprint(v.Value())
		if c.local {
			if name == key {
				return path, true
			}
			continue
		}
		m, isMap := at.(map[string]any)
		if !isMap {
			return "", false
		}
		if at, ok = m[name]; !ok {
			return path, name == key
		}
	}
	return "", false
}

// brief is the expression's text for a message.
func brief(src string) string {
	const most = 80
	src = strings.Join(strings.Fields(src), " ")
	if r := []rune(src); len(r) > most {
		src = string(r[:most]) + "…"
	}
	return src
}
