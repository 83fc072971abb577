package arch_test

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// clocks finds clocks and goroutines in the planes and leaves.
func clocks(s source) []string {
	var found []string
	for _, f := range s.files {
		if u, _ := unitOf(f.folder); !u.pure || f.test {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clock, n.Sel.Name) {
					found = append(found, s.violation(n.Pos(), "time.%s: a plane takes the time from its caller", n.Sel.Name))
				}
			case *ast.GoStmt:
				if goroutines[f.path] == "" {
					found = append(found, s.violation(n.Pos(), "go: a plane starts no goroutine; where it must, say in internal/arch/law_test.go who waits for it"))
				}
			}
			return true
		})
	}
	return found
}

// hidden finds what runs or changes without being called: init functions, and package-level
// variables that are no error, table, compiled value or embedded file, or are written to.
func hidden(s source) []string {
	var found []string
	for folder, files := range s.packages() {
		if support(folder) {
			continue
		}
		for _, f := range files {
			if !f.test && !f.generated {
				found = append(found, s.globals(f)...)
			}
		}
		found = append(found, s.written(files)...)
	}
	slices.Sort(found)
	return found
}

// globals are the init functions and unfit variables that a file declares.
func (s source) globals(f file) []string {
	var found []string
	for _, d := range f.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				found = append(found, s.violation(d.Pos(), "init: nothing runs before main; call it where it is needed"))
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR || embeds(d) {
				continue
			}
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok && !fit(v) {
					found = append(found, s.violation(v.Pos(), "variable %s: package level holds errors, tables, compiled values and embedded files only", v.Names[0].Name))
				}
			}
		}
	}
	return found
}

// embeds reports whether a declaration is filled by go:embed.
func embeds(d *ast.GenDecl) bool {
	if d.Doc == nil {
		return false
	}
	return slices.ContainsFunc(d.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// fit reports whether a variable may stand at package level, as far as its declaration shows.
func fit(v *ast.ValueSpec) bool {
	if v.Names[0].Name == "_" {
		return true // an assertion for the compiler
	}
	if len(v.Values) == 0 {
		// A list or a plain value that nobody writes to is a constant (-ldflags, an empty
		// table); a struct, map, pointer or channel is there to be changed.
		switch t := v.Type.(type) {
		case *ast.Ident:
			return slices.Contains([]string{"string", "bool", "int", "int64"}, t.Name)
		case *ast.ArrayType:
			return true
		}
		return false
	}
	return !slices.ContainsFunc(v.Values, func(e ast.Expr) bool { return !fixed(e) })
}

// fixed reports whether the value of an expression does not change once it is made.
func fixed(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.UnaryExpr:
		return e.Op != token.AND && fixed(e.X)
	case *ast.CallExpr:
		name := called(e.Fun)
		return slices.ContainsFunc(makers, func(m string) bool { return name == m || strings.HasSuffix(name, "."+m) }) || isType(e.Fun)
	}
	return true
}

// called is the name of a called function: "errors.New", or "WithHint" for a method of a value.
func called(fun ast.Expr) string {
	switch f := fun.(type) {
	case *ast.IndexExpr:
		return called(f.X)
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			return x.Name + "." + f.Sel.Name
		}
		return f.Sel.Name
	case *ast.Ident:
		return f.Name
	}
	return ""
}

// isType reports whether the callee can only be a type, so that the call is a conversion.
func isType(fun ast.Expr) bool {
	switch f := fun.(type) {
	case *ast.ArrayType:
		return true
	case *ast.ParenExpr:
		_, pointer := f.X.(*ast.StarExpr)
		return pointer
	}
	return false
}

// written finds writes to the package-level variables of one folder. It resolves names with
// the type checker but without the imported packages: whose names they are is all it needs.
func (s source) written(files []file) []string {
	var trees []*ast.File
	for _, f := range files {
		if !f.test {
			trees = append(trees, f.tree)
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: noPackages{}, Error: func(error) {}}
	pkg, _ := conf.Check("p", s.fset, trees, info) // the imports are missing: an error is certain
	var found []string
	write := func(e ast.Expr, how string) {
		if id := root(e); id != nil {
			if v, ok := info.Uses[id].(*types.Var); ok && pkg != nil && v.Parent() == pkg.Scope() {
				found = append(found, s.violation(e.Pos(), "%s %s: what stands at package level never changes", how, id.Name))
			}
		}
	}
	for _, tree := range trees {
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					write(e, "write to")
				}
			case *ast.IncDecStmt:
				write(n.X, "write to")
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					write(n.X, "pointer to")
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
					write(n.Args[0], id.Name)
				}
			}
			return true
		})
	}
	return found
}

// root is the name that an assigned expression begins with: table in table[i].x.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// noPackages imports nothing.
type noPackages struct{}

func (noPackages) Import(string) (*types.Package, error) {
	return nil, errors.New("not needed")
}
