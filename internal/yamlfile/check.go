package yamlfile

import (
	"encoding"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"drawbridge/internal/fault"
)

// maxDepth bounds how deep a file nests; no file of ours comes near it.
const maxDepth = 32

// check walks the document beside the Go type: unknown keys, values of another shape,
// aliases. What it lets through, the decoder reads.
func (f *File) check(n ast.Node, t reflect.Type, path string, depth int) error {
	if depth > maxDepth {
		return f.fault(n, "the file nests deeper than %d", maxDepth)
	}
	switch n.(type) {
	case *ast.NullNode, nil:
		return nil
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if readsItself(t) {
		return f.own(n, t, path)
	}
	switch t.Kind() { //nolint:exhaustive // every other kind is a single value
	case reflect.Struct:
		return f.checkStruct(n, t, path, depth)
	case reflect.Slice:
		s, ok := n.(*ast.SequenceNode)
		if !ok {
			return f.fault(n, "%s must be a list", name(path))
		}
		for _, v := range s.Values {
			if err := f.check(v, t.Elem(), path, depth+1); err != nil {
				return err
			}
		}
		return nil
	case reflect.Map:
		if t == reflect.TypeFor[map[string]any]() {
			return f.free(n, path, depth)
		}
		m, ok := asMapping(n)
		if !ok {
			return f.fault(n, "%s must be a mapping", name(path))
		}
		for _, v := range m {
			if err := f.check(v.Value, t.Elem(), join(path, v.Key.String()), depth+1); err != nil {
				return err
			}
		}
		return nil
	default:
		return f.scalar(n, path)
	}
}

// free walks a document of somebody else's shape, such as a JSON Schema: a mapping that
// holds anything, but no key twice, and not too deep.
func (f *File) free(n ast.Node, path string, depth int) error {
	m, ok := asMapping(n)
	if !ok {
		return f.fault(n, "%s must be a mapping", name(path))
	}
	return f.freeMapping(m, path, depth)
}

func (f *File) freeMapping(m []*ast.MappingValueNode, path string, depth int) error {
	seen := map[string]bool{}
	for _, v := range m {
		key := strings.Trim(v.Key.String(), `"'`)
		if seen[key] {
			return f.fault(v.Key, "key %q stands twice", key)
		}
		seen[key] = true
		if err := f.freeValue(v.Value, join(path, key), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) freeValue(n ast.Node, path string, depth int) error {
	if depth > maxDepth {
		return f.fault(n, "the file nests deeper than %d", maxDepth)
	}
	if m, ok := asMapping(n); ok {
		return f.freeMapping(m, path, depth)
	}
	if s, ok := n.(*ast.SequenceNode); ok {
		for _, v := range s.Values {
			if err := f.freeValue(v, path, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *File) checkStruct(n ast.Node, t reflect.Type, path string, depth int) error {
	m, ok := asMapping(n)
	if !ok {
		return f.fault(n, "%s must be a mapping with %s", name(path), strings.Join(keys(t), ", "))
	}
	seen := map[string]bool{}
	for _, v := range m {
		key := strings.Trim(v.Key.String(), `"'`)
		field, ok := fieldOf(t, key)
		if !ok {
			return f.unknown(v.Key, key, t, path)
		}
		if seen[key] {
			return f.fault(v.Key, "key %q stands twice", key)
		}
		seen[key] = true
		if err := f.check(v.Value, field.Type, join(path, key), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (f *File) unknown(n ast.Node, key string, t reflect.Type, path string) error {
	e := f.fault(n, "unknown key %.80q%s", key, in(path))
	e.Field = join(path, key)
	return e.WithHint("%s", Suggest(key, keys(t)))
}

// own has a value that reads itself try it, so that what it says gets a place.
func (f *File) own(n ast.Node, t reflect.Type, path string) error {
	if err := f.scalar(n, path); err != nil {
		return err
	}
	err := yaml.NodeToValue(n, reflect.New(t).Interface(), yaml.UseJSONUnmarshaler())
	if err == nil {
		return nil
	}
	text := err.Error()
	if at, ok := errors.AsType[yaml.Error](err); ok {
		text = at.GetMessage()
	}
	return f.fault(n, "%s is not understood: %.200s", name(path), text)
}

func (f *File) scalar(n ast.Node, path string) error {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode:
		return f.fault(n, "%s must be a single value", name(path))
	}
	return nil
}

func (f *File) fault(n ast.Node, format string, args ...any) *fault.Error {
	line, column := position(n)
	return fault.At(f.name, line, column, format, args...)
}

func asMapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if tagName(f) == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func keys(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		if n := tagName(f); n != "" {
			out = append(out, n)
		}
	}
	return out
}

func tagName(f reflect.StructField) string {
	n, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if n == "-" {
		return ""
	}
	return n
}

func name(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func in(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Suggest is what to tell somebody who wrote word where one of known was wanted.
func Suggest(word string, known []string) string {
	if best := nearest(word, known); best != "" {
		return "did you mean " + best + "?"
	}
	return "use one of " + strings.Join(known, ", ")
}

// nearest is the word of list within two edits of key, "" when there is none.
func nearest(key string, list []string) string {
	const longest = 64 // what is longer is far from every key
	best, least := "", 3
	if len(key) > longest {
		return ""
	}
	for _, w := range list {
		if d := distance(strings.ToLower(key), strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is the Levenshtein distance, by the usual two rows.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			prev, row[j] = row[j], min(row[j]+1, row[j-1]+1, prev+cost)
		}
	}
	return row[len(b)]
}
