package arch_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// module is the path of this module.
const module = "drawbridge"

// file is one parsed Go file.
type file struct {
	path      string // slash-separated, relative to the module
	folder    string
	tree      *ast.File
	lines     int
	test      bool // ends in _test.go
	generated bool // says so itself: "Code generated … DO NOT EDIT."
}

// source is the module as it was read.
type source struct {
	fset  *token.FileSet
	files []file // in the order of their paths
}

// read parses every Go file of the module at the root of fsys, as the go command sees it:
// without testdata, hidden folders, and folders that are modules of their own.
func read(fsys fs.FS) (source, error) {
	s := source{fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(fsys, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := s.parse(fsys, name)
		s.files = append(s.files, f)
		return err
	})
	return s, err
}

// skip is fs.SkipDir for a folder that holds no package of the module.
func skip(fsys fs.FS, name string) error {
	if name == "." {
		return nil
	}
	base := path.Base(name)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (s source) parse(fsys fs.FS, name string) (file, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return file{}, err
	}
	tree, err := parser.ParseFile(s.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return file{}, fmt.Errorf("parse: %w", err)
	}
	return file{
		path: name, folder: path.Dir(name), tree: tree,
		lines: bytes.Count(text, []byte("\n")),
		test:  strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(tree),
	}, nil
}

// packages are the files by folder.
func (s source) packages() map[string][]file {
	all := map[string][]file{}
	for _, f := range s.files {
		all[f.folder] = append(all[f.folder], f)
	}
	return all
}

// violation is "file:line: what, and why".
func (s source) violation(at token.Pos, format string, args ...any) string {
	p := s.fset.Position(at)
	return p.Filename + ":" + strconv.Itoa(p.Line) + ": " + fmt.Sprintf(format, args...)
}

// imported is the path that spec names.
func imported(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the parser has refused it already
	}
	return p
}

// beneath reports whether name is folder or below it.
func beneath(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// beneathAny reports whether name is below one of the folders.
func beneathAny(name string, folders []string) bool {
	for _, folder := range folders {
		if beneath(name, folder) {
			return true
		}
	}
	return false
}

// unitOf is the row of the law for a folder: the longest that fits.
func unitOf(folder string) (unit, bool) {
	var best unit
	for _, u := range units {
		if beneath(folder, u.path) && len(u.path) > len(best.path) {
			best = u
		}
	}
	return best, best.path != ""
}

// support reports whether a folder holds support for tests.
func support(folder string) bool {
	u, _ := unitOf(folder)
	return u.test
}
