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
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

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
	if len(src) > MaxSize {
		return nil, fault.New(fault.TooLarge, "%s: a file has at most %d bytes, not %d", name, MaxSize, len(src))
	}
	parsed, err := parser.ParseBytes(src, 0)
	if err != nil {
		return nil, place(name, err)
	}
	docs := documents(parsed)
	switch len(docs) {
	case 0:
		return nil, fault.At(name, 1, 1, "the file is empty")
	case 1:
	default:
		line, column := position(docs[1])
		return nil, fault.At(name, line, column, "a second document; write each into a file of its own")
	}
	f := &File{name: name, root: docs[0]}
	if err := f.check(docs[0], reflect.TypeOf(v).Elem(), "", 0); err != nil {
		return nil, err
	}
	if err := yaml.NodeToValue(docs[0], v, yaml.Strict(), yaml.UseJSONUnmarshaler()); err != nil {
		return nil, place(name, err)
	}
	return f, nil
}

// At makes an Invalid fault at the value that path names, for example
// "environments[1].target.process"; where there is no such value, at its nearest parent.
func (f *File) At(path, format string, args ...any) *fault.Error {
	line, column := f.find(path)
	e := fault.At(f.name, line, column, format, args...)
	e.Field = path
	return e
}

func documents(parsed *ast.File) []ast.Node {
	var nodes []ast.Node
	for _, d := range parsed.Docs {
		if d.Body != nil {
			nodes = append(nodes, d.Body)
		}
	}
	return nodes
}

// place turns an error of the YAML library into a fault at its position.
func place(name string, err error) error {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return fault.At(name, p.Line, p.Column, "%s", at.GetMessage())
	}
	return fault.At(name, 0, 0, "%s", err)
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
