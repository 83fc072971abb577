package remote

import (
	"context"
	"errors"
	"io"
	"strings"

	"drawbridge/internal/fault"
)

// request is what is asked of a host.
type request struct {
	wants   []string // objects
	have    string   // a commit; what it and its ancestors hold is not sent; "" for none
	shallow bool     // the wanted commits alone, without their ancestors
	filter  string   // what is left out, where the host can; "" for nothing
	done    bool     // send in any case; else only when have is enough to know what to send
}

// answer is what a host said beside the pack.
type answer struct {
	known bool // it has request.have
	sent  bool // a pack came
}

// fetch asks for objects and hands the pack to take, which reads it to its end.
func (l *link) fetch(ctx context.Context, q request, take func(io.Reader) error) (answer, error) {
	format := "sha1"
	if len(q.wants[0]) == 64 {
		format = "sha256"
	}
	if theirs := l.can["object-format"]; theirs != format && (theirs != "" || format != "sha1") {
		return answer{}, fault.New(fault.NotFound, "%s has no such commit: it names objects otherwise", l.host)
	}
	m := l.newer(q)
	if !l.two {
		if len(l.can) == 0 {
			return answer{}, fault.New(fault.NotFound, "the repository at %s is empty", l.host)
		}
		if _, ok := l.can["side-band-64k"]; !ok {
			return answer{}, fault.New(fault.Unavailable, "%s speaks too old a protocol of Git", l.host)
		}
		m = l.older(q, format)
	}
	var a answer
	err := l.post(ctx, m, l.remote.options.MaxFetch, func(p *packets) error {
		packed, err := l.head(p, q, &a)
		if err != nil || !packed {
			return err
		}
		a.sent = true
		return take(&sideband{packets: p})
	})
	return a, err
}

// newer is a request of version 2.
func (l *link) newer(q request) *message {
	m := &message{}
	m.line("command=fetch")
	if format := l.can["object-format"]; format != "" {
		m.line("object-format=%s", format)
	}
	m.mark(delimiter)
	m.line("no-progress")
	m.line("ofs-delta")
	for _, w := range q.wants {
		m.line("want %s", w)
	}
	if q.shallow {
		m.line("deepen 1")
	}
	if q.filter != "" && hasWord(l.can["fetch"], "filter") {
		m.line("filter %s", q.filter)
	}
	if q.have != "" {
		m.line("have %s", q.have)
	}
	if q.done {
		m.line("done")
	}
	m.mark(flush)
	return m
}

// older is a request of versions 0 and 1.
func (l *link) older(q request, format string) *message {
	can := func(name string) bool { _, ok := l.can[name]; return ok }
	abilities := []string{"side-band-64k", "no-progress"}
	for _, name := range []string{"ofs-delta", "filter"} {
		if can(name) {
			abilities = append(abilities, name)
		}
	}
	if can("object-format") {
		abilities = append(abilities, "object-format="+format)
	}
	m := &message{}
	for i, w := range q.wants {
		if i == 0 {
			w += " " + strings.Join(abilities, " ")
		}
		m.line("want %s", w)
	}
	if q.shallow && can("shallow") {
		m.line("deepen 1")
	}
	if q.filter != "" && can("filter") {
		m.line("filter %s", q.filter)
	}
	m.mark(flush)
	if q.have != "" {
		m.line("have %s", q.have)
	}
	if q.done {
		m.line("done")
	} else {
		m.mark(flush)
	}
	return m
}

// head reads what comes before the pack, and reports whether a pack follows.
func (l *link) head(p *packets, q request, a *answer) (packed bool, err error) {
	answered := false // of the older versions: the line that is the last before the pack
	for {
		if answered && q.done {
			return true, nil
		}
		kind, text, err := p.line()
		switch {
		case errors.Is(err, io.EOF) && answered:
			return false, nil
		case errors.Is(err, io.EOF):
			return false, errProtocol
		case err != nil:
			return false, err
		case kind == flush && l.two, kind == ending:
			return false, nil
		case kind != content:
			continue // between sections; the end of the list of shallow commits
		}
		switch word, _, _ := strings.Cut(text, " "); word {
		case "ACK":
			a.known, answered = true, !l.two
		case "NAK":
			answered = !l.two
		case "packfile":
			return true, nil
		case "acknowledgments", "shallow-info", "shallow", "unshallow", "ready":
		default:
			return false, errProtocol
		}
	}
}

func hasWord(list, word string) bool {
	for w := range strings.FieldsSeq(list) {
		if w == word {
			return true
		}
	}
	return false
}
