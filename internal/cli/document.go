package cli

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
)

// Kinds of files that no package names.
const (
	kindTrust    = "Trust"
	kindState    = "EnvironmentState"
	kindWorkflow = "Workflow" // of CI: it has no line kind:
)

// applied are the kinds that a server keeps, each with its path of the API.
var applied = map[string]string{
	cd.KindDelivery:       "/api/v1/deliveries",
	kindTrust:             "/api/v1/trust",
	bridge.KindReceiver:   "/api/v1/receivers",
	bridge.KindPolicy:     "/api/v1/policy",
	identity.KindWorkload: "/api/v1/workloads",
}

// kinds are the kinds that a file may say, in the order in which people read of them.
func kinds() []string {
	return []string{cd.KindDelivery, kindTrust, bridge.KindReceiver, bridge.KindPolicy, identity.KindWorkload, kindState}
}

// document is one of the YAML documents of a file.
type document struct {
	file   string // as the user named it
	kind   string
	src    []byte
	before int  // lines of the file before it
	alone  bool // the only one of its file
}

// separator is a line between two documents of a file.
var separator = regexp.MustCompile(`^---[ \t]*(#.*)?\r?\n?$`)

// documents are the documents of a file, those that hold something. A file of one document
// is left as it is. The faults, one for each document that says no kind, are joined.
func documents(file string, src []byte) ([]document, error) {
	list := split(file, src)
	var problems []error
	for i, d := range list {
		kind, err := kindOf(file, d.src)
		if err != nil {
			problems = append(problems, d.move(err))
		}
		list[i].kind = kind
	}
	return list, errors.Join(problems...)
}

func split(file string, src []byte) []document {
	var list []document
	var b strings.Builder
	n, start := 0, 0
	end := func() {
		if holdsText(b.String()) {
			list = append(list, document{file: file, src: []byte(b.String()), before: start})
		}
		b.Reset()
		start = n
	}
	for line := range strings.Lines(string(src)) {
		n++
		if separator.MatchString(line) {
			end()
			continue
		}
		b.WriteString(line)
	}
	end()
	if len(list) < 2 {
		return []document{{file: file, src: src, alone: true}}
	}
	return list
}

// holdsText reports whether there is more in text than comments.
func holdsText(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return true
		}
	}
	return false
}

// move is err with each position in d as a position in d's file.
func (d document) move(err error) error {
	if err == nil || d.before == 0 {
		return err
	}
	var out []error
	for _, e := range flatten(err) {
		if f := fault.As(e); f != nil && f.File == d.file && f.Line > 0 {
			moved := *f
			moved.Line += d.before
			e = &moved
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// kindOf tells what a document is by its keys at the left margin, so that one with mistakes
// in it is still known for what it should be.
func kindOf(name string, src []byte) (string, error) {
	keys := map[string]string{}
	lines := map[string]int{}
	n := 0
	for line := range strings.Lines(string(src)) {
		n++
		key, value, found := strings.Cut(line, ":")
		if _, twice := keys[key]; found && !twice {
			value, _, _ = strings.Cut(value, " #")
			keys[key], lines[key] = strings.Trim(strings.TrimSpace(value), `"'`), n
		}
	}
	if kind, ok := keys["kind"]; ok {
		if slices.Contains(kinds(), kind) {
			return kind, nil
		}
		return "", fault.At(name, lines["kind"], 1, "%.40q is no kind of file", kind).WithHint("write kind: and one of %s", strings.Join(kinds(), ", "))
	}
	for _, key := range []string{"on", "jobs", `"on"`, `'on'`} {
		if _, ok := keys[key]; ok {
			return kindWorkflow, nil
		}
	}
	return "", fault.At(name, 1, 1, "this says no kind and is no workflow").
		WithHint("write kind: and one of %s; a workflow has on: and jobs:", strings.Join(kinds(), ", "))
}

// nameOf is the base of a path without its extension: what a file of environments is named by.
func nameOf(file string) (name string, yaml bool) {
	ext := path.Ext(file)
	return strings.TrimSuffix(path.Base(file), ext), ext == ".yaml" || ext == ".yml"
}
