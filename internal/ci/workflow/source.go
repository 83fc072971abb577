package workflow

import (
	"bytes"
	"errors"
	"io"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of the YAML document, beneath which the libraries that read it are safe.
const (
	maxNodes  = 20000
	maxLevels = 40
)

// source is the text of the file, for finding places in it.
type source struct {
	file  string
	raw   []byte
	lines []string
}

func newSource(file string, text []byte) source {
	return source{file, text, strings.Split(string(text), "\n")}
}

// document parses the YAML and checks what must hold before anything else reads it: one
// document, no aliases (they multiply), no tags, bounded size and nesting, and expressions
// that no parser chokes on. It returns nil when that fails, or the syntax is broken: lint
// then finds the place.
func (r *reader) document() *yaml.Node {
	if !utf8.Valid(r.raw) {
		r.refuse(1, 1, "save the file as UTF-8", "the file is no UTF-8 text")
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(r.raw))
	var doc, second yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.refuse(1, 1, "start with: on: push", "the workflow is empty")
		} else {
			r.syntax(err)
		}
		return nil
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			r.syntax(err)
		} else {
			r.refuse(max(1, second.Line), max(1, second.Column), "write each workflow into a file of its own",
				"a second YAML document is refused: only the first would run")
		}
		return nil
	}
	nodes := 0
	r.inspect(&doc, 0, &nodes)
	if len(doc.Content) == 0 {
		return nil
	}
	return doc.Content[0]
}

// syntax reports an error of the YAML parser, which is broken text or a wrong type.
func (r *reader) syntax(err error) {
	line, column, message := 1, 1, err.Error()
	if pe, ok := errors.AsType[*yaml.ParserError](err); ok {
		line, column, message = pe.Line, pe.Column+1, pe.Message // it counts columns from 0
	}
	if n := r.brokenLine(); n > line { // the parser names the start of the section that it was in
		line, column = n, 1+len(r.line(n))-len(strings.TrimLeft(r.line(n), " "))
	}
	r.refuse(max(1, line), max(1, column), "check the indentation and the quotes around it", "the YAML is malformed: %s", message)
}

// brokenLine is the first line with which the text stops being YAML and stays broken; 0 when
// that cannot be told. The text up to each line is parsed, by bisection.
func (r *reader) brokenLine() int {
	broken := func(lines int) bool {
		var n yaml.Node
		return yaml.Unmarshal([]byte(strings.Join(r.lines[:lines], "\n")), &n) != nil
	}
	n := sort.Search(len(r.lines), broken)
	for after := n + 1; after <= min(n+8, len(r.lines)); after++ {
		if !broken(after) {
			return 0 // only a value of several lines that was cut in two
		}
	}
	return n
}

func (r *reader) inspect(n *yaml.Node, level int, nodes *int) {
	if *nodes++; *nodes > maxNodes || level > maxLevels {
		if len(r.problems) == 0 {
			r.refuse(n.Line, n.Column, "split the workflow into several files",
				"the file has more than %d values or is nested deeper than %d", maxNodes, maxLevels)
		}
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		r.refuse(n.Line, n.Column, "write the value out", "the YAML alias *%s is refused", clip(n.Value))
	case n.Anchor != "":
		r.refuse(n.Line, n.Column, "write the value out", "the YAML anchor &%s is refused", clip(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(n.Line, n.Column, "remove the tag", "the YAML tag %s is refused", clip(n.Tag))
	}
	if n.Kind == yaml.ScalarNode {
		r.boundExpressions(n, strings.Contains(n.Value, "${{"))
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "if" && c.Kind == yaml.ScalarNode {
			r.boundExpressions(c, false)
		}
		r.inspect(c, level+1, nodes)
	}
}

// boundExpressions refuses expressions that are too long or nested too deeply: in the
// template n, or n as a whole.
func (r *reader) boundExpressions(n *yaml.Node, template bool) {
	s := n.Value
	for s != "" {
		expr := s
		if template {
			i := strings.Index(s, "${{")
			if i < 0 {
				return
			}
			expr = s[i+3:]
		}
		end, depth := scanExpression(expr)
		if end > maxExpression || depth > maxDepth {
			r.refuse(n.Line, n.Column, "compute parts of it in a step and use its outputs",
				"an expression has at most %d characters and %d nested parentheses", maxExpression, maxDepth)
			return
		}
		if !template {
			return
		}
		s = expr[end:]
	}
}

// scanExpression finds the end of an expression (its "}}" outside quotes, else the end of s)
// and how deeply it nests.
func scanExpression(s string) (end, deepest int) {
	depth, negations, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == '!':
			negations++
		case c == '}' && strings.HasPrefix(s[i:], "}}"):
			return i, deepest
		}
		if c != '!' && c != ' ' {
			negations = 0
		}
		deepest = max(deepest, depth+negations)
	}
	return len(s), deepest
}

// locate is the place in the file of the byte at offset of a scalar that starts at line and
// column. The YAML parser tells only where a scalar starts: in block scalars and those of
// several lines the text itself is looked for.
func (s *source) locate(line, column int, quoted bool, value string, offset int) (int, int) {
	offset = min(max(offset, 0), len(value))
	direct := column + offset
	if quoted {
		direct++
	}
	word, _, _ := strings.Cut(value[offset:], "\n")
	if len(word) > 30 {
		word = word[:30]
	}
	first := s.line(line)
	if direct-1 <= len(first) && strings.HasPrefix(first[direct-1:], word) && !strings.Contains(value[:offset], "\n") {
		return line, direct
	}
	from := line
	if i := column - 1; i >= 0 && i < len(first) && (first[i] == '|' || first[i] == '>') {
		from++ // the text starts below the indicator
		if first[i] == '|' {
			from += strings.Count(value[:offset], "\n")
		}
	}
	// Skip what stands before on the same line of the value, so that a repeated word is not
	// found too early.
	before := offset - (strings.LastIndexByte(value[:offset], '\n') + 1)
	for n := from; n <= len(s.lines) && word != ""; n++ {
		text := s.line(n)
		start := min(before, len(text))
		if n == line {
			start = max(start, min(column-1, len(text)))
		}
		if i := strings.Index(text[start:], word); i >= 0 {
			return n, start + i + 1
		}
	}
	return line, column
}

// line is the line of number n, from 1; "" when there is none.
func (s *source) line(n int) string {
	if n < 1 || n > len(s.lines) {
		return ""
	}
	return strings.TrimSuffix(s.lines[n-1], "\r")
}
