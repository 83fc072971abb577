package arch_test

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// words finds packages with empty names or no comment, exported names without a comment, and
// files that are too long to hold in mind.
func words(s source) []string {
	var found []string
	for folder, files := range s.packages() {
		code := slices.DeleteFunc(slices.Clone(files), func(f file) bool { return f.test })
		found = append(found, s.named(folder, files)...)
		commented := slices.ContainsFunc(code, func(f file) bool { return f.generated || len(f.tree.Doc.Text()) > 20 })
		if len(code) > 0 && !commented {
			found = append(found, s.violation(code[0].tree.Package, "package %s has no comment: say its job, its guarantees and how it fails", folder))
		}
	}
	for _, f := range s.files {
		if f.lines > maxLines && !f.generated {
			found = append(found, s.violation(f.tree.Package, "%d lines: a file has %d at most", f.lines, maxLines))
		}
		if !f.test && !f.generated {
			found = append(found, s.silent(f)...)
		}
	}
	slices.Sort(found)
	return found
}

func (s source) named(folder string, files []file) []string {
	name := strings.TrimSuffix(files[0].tree.Name.Name, "_test")
	if slices.Contains(emptyNames, name) {
		return []string{s.violation(files[0].tree.Package, "package %s (%s): a package is named after its job", name, folder)}
	}
	return nil
}

// known are methods whose meaning their interface gives.
var known = []string{"Error", "String", "Unwrap", "ServeHTTP", "Read", "Write", "Close", "Len", "Less", "Swap", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText"}

// silent are the exported names of a file that have no comment.
func (s source) silent(f file) []string {
	var found []string
	miss := func(id *ast.Ident, doc ...*ast.CommentGroup) {
		if !id.IsExported() || slices.ContainsFunc(doc, func(c *ast.CommentGroup) bool { return c.Text() != "" }) {
			return
		}
		found = append(found, s.violation(id.Pos(), "%s is exported and has no comment", id.Name))
	}
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || exportedReceiver(d.Recv) && !slices.Contains(known, d.Name.Name) {
				miss(d.Name, d.Doc)
			}
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					miss(spec.Name, d.Doc, spec.Doc, spec.Comment)
				case *ast.ValueSpec:
					for _, id := range spec.Names {
						miss(id, d.Doc, spec.Doc, spec.Comment)
					}
				}
			}
		}
	}
	return found
}

// exportedReceiver reports whether a method belongs to an exported type.
func exportedReceiver(list *ast.FieldList) bool {
	t := list.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
