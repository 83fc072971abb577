package remote

import (
	"context"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"drawbridge/internal/fault"
)

// Limits of what a host may say of its refs.
const (
	maxRefs     = 100_000
	maxRefBytes = 32 << 20
	maxRefName  = 255 // bytes
)

// ref is one ref as a host tells it.
type ref struct {
	name   string
	object string
	peeled string // of an annotated tag, what it names
}

// advertised reads what a host says first: its version and abilities, and before version 2
// its refs.
func (l *link) advertised(p *packets) error {
	kind, first, err := p.line()
	if err == nil && strings.HasPrefix(first, "# service=") {
		if kind, _, err = p.next(); err == nil && kind == flush {
			kind, first, err = p.line()
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return errProtocol
	case err != nil:
		return err
	case kind == content && first == "version 2":
		l.two = true
		return l.abilities(p)
	case kind == content && first == "version 1":
		if kind, first, err = p.line(); err != nil {
			return err
		}
	}
	if kind == flush {
		return nil // an empty repository
	}
	text, can, _ := strings.Cut(first, "\x00")
	for word := range strings.FieldsSeq(can) {
		name, value, _ := strings.Cut(word, "=")
		l.can[name] = value
	}
	return l.refLines(p, text)
}

// abilities reads the capabilities of version 2.
func (l *link) abilities(p *packets) error {
	for {
		kind, text, err := p.line()
		switch {
		case errors.Is(err, io.EOF):
			return errProtocol
		case err != nil:
			return err
		case kind != content:
			return nil
		case len(l.can) > 100:
			return errProtocol
		}
		name, value, _ := strings.Cut(text, "=")
		l.can[name] = value
	}
}

// refLines reads the refs of versions 0 and 1: "OBJECT NAME", a tag followed by "COMMIT NAME^{}".
func (l *link) refLines(p *packets, text string) error {
	for {
		object, name, ok := strings.Cut(text, " ")
		tag, peeled := strings.CutSuffix(name, "^{}")
		switch {
		case !ok || (!objectID(object) && object != "shallow"):
			return errProtocol
		case peeled && len(l.refs) > 0 && l.refs[len(l.refs)-1].name == tag:
			l.refs[len(l.refs)-1].peeled = object
		case !peeled && objectID(object) && wanted(name):
			l.refs = append(l.refs, ref{name: name, object: object})
		}
		if len(l.refs) > maxRefs {
			return l.tooMany()
		}
		kind, next, err := p.line()
		switch {
		case errors.Is(err, io.EOF):
			return errProtocol
		case err != nil:
			return err
		case kind != content:
			return nil
		}
		text = next
	}
}

func (l *link) tooMany() error {
	return fault.New(fault.TooLarge, "the repository at %s has more than %d branches and tags", l.host, maxRefs)
}

// list asks version 2 for branches and tags; before it they are there already.
func (l *link) list(ctx context.Context) ([]ref, error) {
	if !l.two {
		return l.refs, nil
	}
	m := &message{}
	m.line("command=ls-refs")
	if format := l.can["object-format"]; format != "" {
		m.line("object-format=%s", format)
	}
	m.mark(delimiter)
	m.line("peel")
	m.line("ref-prefix refs/heads/")
	m.line("ref-prefix refs/tags/")
	m.mark(flush)
	var refs []ref
	err := l.post(ctx, m, maxRefBytes, func(p *packets) error {
		for {
			kind, text, err := p.line()
			switch {
			case errors.Is(err, io.EOF):
				return errProtocol
			case err != nil:
				return err
			case kind != content:
				return nil
			}
			r, err := parseRef(text)
			if err != nil {
				return err
			}
			if wanted(r.name) && r.object != "unborn" {
				refs = append(refs, r)
			}
			if len(refs) > maxRefs {
				return l.tooMany()
			}
		}
	})
	return refs, err
}

// parseRef reads "OBJECT NAME" and its attributes, as version 2 lists refs.
func parseRef(text string) (ref, error) {
	object, rest, ok := strings.Cut(text, " ")
	if !ok || (!objectID(object) && object != "unborn") {
		return ref{}, errProtocol
	}
	name, attributes, _ := strings.Cut(rest, " ")
	r := ref{name: name, object: object}
	for a := range strings.FieldsSeq(attributes) {
		if peeled, ok := strings.CutPrefix(a, "peeled:"); ok {
			if !objectID(peeled) {
				return ref{}, errProtocol
			}
			r.peeled = peeled
		}
	}
	return r, nil
}

// wanted reports whether a name is that of a branch or a tag, as git itself would take it.
// Others, and what could break a line, a path or a terminal, are left out.
func wanted(name string) bool {
	if !strings.HasPrefix(name, "refs/heads/") && !strings.HasPrefix(name, "refs/tags/") {
		return false
	}
	return len(name) <= maxRefName && utf8.ValidString(name) && !strings.ContainsAny(name, " ~^:?*[\\") &&
		!strings.Contains(name, "..") && !strings.Contains(name, "//") && !strings.HasSuffix(name, "/") &&
		!strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
}

// objectID reports whether s can name an object: 40 or 64 lower-case hex digits.
func objectID(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
