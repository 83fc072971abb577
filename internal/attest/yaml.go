package attest

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"drawbridge/internal/fault"
)

// Limits of a trust file. The parser needs quadratic time for deep nesting.
const (
	maxTrustFile = 1 << 20 // bytes
	maxYAMLDepth = 32      // nested flow collections, and list marks on one line
)

// document reads one YAML file with the position of everything in it.
type document struct{ file string }

// entry is one key of a mapping with its value.
type entry struct{ key, value ast.Node }

// object is a mapping, its keys checked.
type object struct {
	at      ast.Node // for what is missing in it
	entries map[string]entry
}

// parse reads the only document of src.
func (d document) parse(src []byte) (ast.Node, error) {
	if len(src) > maxTrustFile {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes; a trust file has at most %d", d.file, len(src), maxTrustFile)
	}
	tokens := lexer.Tokenize(string(src))
	if err := d.guard(tokens); err != nil {
		return nil, err
	}
	f, err := parser.Parse(tokens, 0)
	if err != nil {
		var ye yaml.Error
		if errors.As(err, &ye) && ye.GetToken() != nil {
			p := ye.GetToken().Position
			return nil, fault.At(d.file, p.Line, p.Column, "it is no YAML: %s", clip(ye.GetMessage()))
		}
		return nil, fault.At(d.file, 1, 1, "it is no YAML")
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return nil, fault.At(d.file, 1, 1, "want one YAML document, not %d", len(f.Docs)).WithHint("start with apiVersion: drawbridge/v1")
	}
	return f.Docs[0].Body, nil
}

// guard refuses, before anything is built, what a trust file has no need of.
func (d document) guard(tokens token.Tokens) error {
	depth, line, marks := 0, 0, 0
	for _, t := range tokens {
		p := t.Position
		switch t.Type { //nolint:exhaustive // all other tokens are harmless
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.MappingKeyType, token.DirectiveType:
			return fault.At(d.file, p.Line, p.Column, "%q is not understood here", clip(t.Value)).WithHint("write it without anchors, aliases, tags and directives")
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			if p.Line != line {
				line, marks = p.Line, 0
			}
			marks++
		}
		if depth > maxYAMLDepth || marks > maxYAMLDepth {
			return fault.At(d.file, p.Line, p.Column, "it is nested deeper than %d levels", maxYAMLDepth)
		}
	}
	return nil
}

// at makes a fault at n.
func (d document) at(n ast.Node, format string, args ...any) *fault.Error {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return fault.At(d.file, 1, 1, format, args...)
	}
	p := n.GetToken().Position
	return fault.At(d.file, p.Line, p.Column, format, args...)
}

// object reads a mapping that may have the keys named and no others.
func (d document) object(n ast.Node, what string, keys ...string) (object, error) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		return object{}, d.at(n, "%s must be a mapping", what).WithHint("its keys are %s", strings.Join(keys, ", "))
	}
	o := object{at: n, entries: map[string]entry{}}
	for i, v := range values {
		if i == 0 {
			o.at = v.Key
		}
		name := v.Key.GetToken().Value
		if suggestion, ok := match(name, keys); !ok {
			return object{}, d.at(v.Key, "unknown key %q in %s", clip(name), what).WithHint("%s", suggestion)
		}
		o.entries[name] = entry{v.Key, v.Value}
	}
	return o, nil
}

// match reports whether name is one of known; if not, it suggests what may have been meant.
func match(name string, known []string) (string, bool) {
	best, distance := "", 3
	for _, k := range known {
		if k == name {
			return "", true
		}
		if n := edits(strings.ToLower(name), strings.ToLower(k)); n < distance {
			best, distance = k, n
		}
	}
	if best != "" {
		return "did you mean " + best + "?", false
	}
	return "use one of " + strings.Join(known, ", "), false
}

// edits counts the single-character changes that make b of a; long text counts as far away.
func edits(a, b string) int {
	const far = 99
	if len(a) > 64 || len(b) > 64 {
		return far
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// text reads a scalar that is text.
func (d document) text(e entry, what string) (string, error) {
	switch v := e.value.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.LiteralNode:
		return v.Value.Value, nil
	}
	return "", d.at(e.orKey(), "%s must be text", what)
}

// orKey is the value, or its key where the value is empty and has no place of its own.
func (e entry) orKey() ast.Node {
	if e.value == nil || e.value.Type() == ast.NullType {
		return e.key
	}
	return e.value
}

// list reads a sequence of at least one element.
func (d document) list(e entry, what string) ([]ast.Node, error) {
	seq, ok := e.value.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 {
		return nil, d.at(e.orKey(), "%s must be a list with at least one element", what)
	}
	return seq.Values, nil
}
