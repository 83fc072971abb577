package workflow

import (
	"cmp"
	"fmt"
	"path"
	"slices"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// reader turns one file into a Workflow. It collects problems as it goes on; a workflow is
// good only when there are none.
type reader struct {
	source
	problems    []*fault.Error
	stepOutputs map[string][]string // of the built-in steps of the job in hand
	blocks      map[int]block       // scalars that span lines, by the line on which they start
}

// read parses file. Whatever breaks inside the YAML or workflow libraries is a fault of the
// file, since only hostile files can do it.
func read(file string, src []byte) (w *Workflow, problems []*fault.Error) {
	defer func() {
		if p := recover(); p != nil {
			w, problems = nil, []*fault.Error{fault.At(file, 0, 0, "the file cannot be parsed: %v", p)}
		}
	}()
	if len(src) > MaxSource {
		f := fault.New(fault.TooLarge, "a workflow file has at most %d bytes, not %d", MaxSource, len(src))
		f.File = file
		return nil, []*fault.Error{f.WithHint("move long scripts into files of the repository")}
	}
	r := &reader{source: newSource(file, src)}
	root := r.document()
	if len(r.problems) > 0 {
		return nil, r.sorted()
	}
	own := r.subset(root)
	ast := r.lint(own)
	if ast == nil {
		return nil, r.sorted()
	}
	w = r.convert(ast)
	if len(r.problems) > 0 {
		return nil, r.sorted()
	}
	w.File, w.Digest = file, artifact.DigestOf(src)
	if w.Name == "" {
		w.Name = path.Base(file)
	}
	return w, nil
}

// refuse notes a problem at a place; the result may be given a hint.
func (r *reader) refuse(line, column int, hint, format string, args ...any) {
	f := fault.At(r.file, line, column, format, args...)
	if hint != "" {
		f = f.WithHint("%s", hint)
	}
	r.problems = append(r.problems, f)
}

// sorted is the problems in the order of the file, one for each place: of two, the one with
// a hint.
func (r *reader) sorted() []*fault.Error {
	slices.SortStableFunc(r.problems, func(a, b *fault.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(min(1, len(b.Hint)), min(1, len(a.Hint))))
	})
	return slices.CompactFunc(r.problems, func(a, b *fault.Error) bool { return a.Line == b.Line && a.Column == b.Column })
}

func quote(s string) string { return fmt.Sprintf("%q", clip(s)) }
