package attest

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"drawbridge/internal/fault"
	"drawbridge/internal/yamlfile"
)

// document reads one YAML file, by hand: which keys of a signer belong together is more than
// a struct says, and a trusted root is foreign JSON.
type document struct{ file string }

// entry is one key of a mapping with its value.
type entry struct{ key, value ast.Node }

// object is a mapping, its keys checked.
type object struct {
	at      ast.Node // for what is missing in it
	entries map[string]entry
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
		if !slices.Contains(keys, name) {
			return object{}, d.at(v.Key, "unknown key %q in %s", clip(name), what).WithHint("%s", yamlfile.Suggest(name, keys))
		}
		o.entries[name] = entry{v.Key, v.Value}
	}
	return o, nil
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
