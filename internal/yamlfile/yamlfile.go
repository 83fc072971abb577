// Package yamlfile reads a YAML file that a person wrote into a Go value, strictly: a key
// that the value does not have, a value of another type and malformed YAML are faults
// with file, line and column, and a misspelt key comes with the key that was meant.
//
// Field names are taken from json tags. Anchors, aliases and merge keys are refused, since a
// small file could grow without bound through them.
package yamlfile

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"drawbridge/internal/fault"
)

// MaxSize is the largest file that Decode reads, in bytes.
const MaxSize = 1 << 20

// File is a decoded file that still knows where each of its values stands.
type File struct {
	name string
	root ast.Node
}

// Decode reads src, one YAML document, into v, a pointer to a struct. The name stands in
// the positions of faults. Every fault is of kind Invalid, or TooLarge.
func Decode(name string, src []byte, v any) (*File, error) {
	root, err := Parse(name, src)
	if err != nil {
		return nil, err
	}
	f := &File{name: name, root: root}
	if err := f.check(root, reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return nil, err
	}
	if err := yaml.NodeToValue(root, v, yaml.Strict(), yaml.UseJSONUnmarshaler()); err != nil {
		return nil, place(name, err)
	}
	return f, nil
}

// Parse reads src, one YAML document without anchors, aliases, tags and directives, for
// who walks it by himself. The faults are those of Decode.
func Parse(name string, src []byte) (ast.Node, error) {
	if len(src) > MaxSize {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes; a file has at most %d", name, len(src), MaxSize)
	}
	tokens := lexer.Tokenize(string(src))
	if err := guard(name, tokens); err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, place(name, err)
	}
	docs := slices.DeleteFunc(parsed.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil })
	if len(docs) != 1 {
		return nil, fault.At(name, 1, 1, "want one YAML document, not %d", len(docs)).WithHint("start with apiVersion: drawbridge/v1")
	}
	return docs[0].Body, nil
}

// guard refuses, before anything is built, what a file of ours has no need of. The parser
// needs quadratic time for deep nesting.
func guard(name string, tokens token.Tokens) error {
	depth, line, marks := 0, 0, 0
	for _, t := range tokens {
		p := t.Position
		switch t.Type { //nolint:exhaustive // all other tokens are harmless
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.MappingKeyType, token.DirectiveType:
			return fault.At(name, p.Line, p.Column, "%.40q is not understood here", t.Value).WithHint("write it without anchors, aliases, tags and directives")
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
		if depth > maxDepth || marks > maxDepth {
			return fault.At(name, p.Line, p.Column, "it is nested deeper than %d levels", maxDepth)
		}
	}
	return nil
}

// At makes an Invalid fault at the value that path names, for example
// "environments[1].target.process"; where there is no such value, at its nearest parent.
func (f *File) At(path, format string, args ...any) *fault.Error {
	line, column := f.find(path)
	e := fault.At(f.name, line, column, format, args...)
	e.Field = path
	return e
}

// place turns an error of the YAML library into a fault at its position.
func place(name string, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return fault.At(name, p.Line, p.Column, "it is no YAML of ours: %.200s", at.GetMessage())
	}
	return fault.At(name, 1, 1, "it is no YAML of ours: %.200s", err.Error())
}

func position(n ast.Node) (line, column int) {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1, 1
	}
	p := n.GetToken().Position
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return position(m.Values[0].Key)
	}
	if m, ok := n.(*ast.MappingValueNode); ok {
		return position(m.Key)
	}
	return p.Line, p.Column
}

// find walks path as far as it exists and reports where it got to.
func (f *File) find(path string) (line, column int) {
	line, column = position(f.root)
	node := f.root
	for _, part := range split(path) {
		next, at := child(node, part)
		if next == nil {
			break
		}
		node = next
		line, column = position(at)
	}
	return line, column
}

// split cuts "a.b[2].c" into a, b, [2], c.
func split(path string) []string {
	return strings.FieldsFunc(strings.ReplaceAll(path, "[", ".["), func(r rune) bool { return r == '.' })
}

// child is the value of a mapping's key or a sequence's index, and the node whose
// position stands for it: the key of a mapping, the element of a sequence.
func child(n ast.Node, part string) (value, at ast.Node) {
	for _, m := range mapping(n) {
		if m.Key.String() == part {
			return m.Value, m.Key
		}
	}
	if s, ok := n.(*ast.SequenceNode); ok {
		var i int
		if _, err := fmt.Sscanf(part, "[%d]", &i); err == nil && i >= 0 && i < len(s.Values) {
			return s.Values[i], s.Values[i]
		}
	}
	return nil, nil
}

func mapping(n ast.Node) []*ast.MappingValueNode {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}
	}
	return nil
}
