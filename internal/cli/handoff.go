package cli

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/web/api"
)

func newHandoff(c *console) *cobra.Command {
	l := &listing[api.Handoff]{
		remote: remote{console: c}, path: "/api/v1/handoffs", query: map[string]*string{},
		none: "there are no handoffs: an event makes one at each trigger that it concerns",
		head: []string{"ID", "STATE", "APPLICATION", "TRIGGER", "WHAT", "RELEASE", "AGE", "REASON"},
		row: func(h api.Handoff) []string {
			return []string{
				fmt.Sprint(h.ID), string(h.State), h.Application, h.Trigger, or(tagOf(h.Image), h.Version), brief(h.Release), c.age(h.At), h.Reason,
			}
		},
	}
	list := l.command("List handoffs, newest first")
	l.filter(list, "application", "only handoffs of this application, `NAME`")
	l.filter(list, "trigger", "only handoffs of triggers of this `NAME`")
	l.filter(list, "event", "only handoffs that came of this event, `ID`")
	l.filter(list, "state", "only handoffs in this `STATE`: "+names(bridge.HandoffStates()))
	show := showing[api.Handoff]{
		use: "show", short: "Show a handoff with its refusals", arg: "HANDOFF", path: "/api/v1/handoffs/", text: c.handoff,
	}
	return group(c, "handoff", "Look at what the bridge let cross, and what it refused", list, show.command(c), newHandoffExplain(c))
}

// handoff prints one handoff.
func (c *console) handoff(h api.Handoff) {
	c.pairs(
		pair{"handoff", fmt.Sprintf("%d (event %d)", h.ID, h.Event)},
		pair{"application", h.Application},
		pair{"trigger", h.Trigger},
		pair{"state", string(h.State)},
		pair{"reason", h.Reason},
		pair{"waits until", until(h.Until)},
		pair{"looks again", until(h.Look)},
		pair{"image", h.Image},
		pair{"version", h.Version},
		pair{"release", h.Release},
		pair{"actor", h.Actor},
		pair{"judged by", fmt.Sprintf("delivery version %d, trust version %d", h.Delivery, h.Trust)},
		pair{"at", c.when(h.At)},
		pair{"chain", h.Chain},
	)
	c.judged(h)
}

// until is a moment to come.
func until(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST")
}

// judged prints how a handoff came about: what was asked, what was refused, what it asked for.
func (c *console) judged(h api.Handoff) {
	c.checks(h.Checks)
	c.refusals(h.Refusals)
	c.askedFor(h.Asked)
}

// checks prints what was asked on the way to an outcome.
func (c *console) checks(list []bridge.Check) {
	if len(list) == 0 {
		return
	}
	c.print("")
	width := 0
	for _, k := range list {
		width = max(width, min(len([]rune(k.What)), maxLabel))
	}
	for _, k := range list {
		lines := wrap(printable(k.Found), lineWidth-width-4)
		c.print("%s", strings.TrimRight(fmt.Sprintf("%s %-*s  %s", c.mark(k.OK), width, printable(k.What), first(lines)), " "))
		for _, line := range lines[min(1, len(lines)):] {
			c.print("  %-*s  %s", width, "", line)
		}
	}
}

// refusals prints why something may not cross.
func (c *console) refusals(list []attest.Refusal) {
	if len(list) == 0 {
		return
	}
	c.print("")
	c.table([]string{"RULE", "REFUSED BECAUSE", "FOUND"}, each(list, func(r attest.Refusal) []string {
		return []string{string(r.Rule), r.Message, r.Found}
	}))
}

// askedFor prints what a handoff asked CD for.
func (c *console) askedFor(list []bridge.Asked) {
	if len(list) == 0 {
		return
	}
	c.print("")
	c.table([]string{"ASKED FOR", "VERSION", "RELEASE", "NOTE"}, each(list, func(a bridge.Asked) []string {
		note := a.Why
		if a.Rollback {
			note = join("rollback", note)
		}
		return []string{a.Environment, a.Version, brief(a.Release), note}
	}))
}

func newHandoffExplain(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "explain HANDOFF", Short: "Tell the story of a handoff, from its event to its outcome", Args: exactly("HANDOFF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e api.Explanation
			if err := r.get(cmd.Context(), "/api/v1/handoffs/"+url.PathEscape(args[0])+"/explain", &e); err != nil {
				return err
			}
			return c.show(r.format, e, func() { c.explanation(e) })
		},
	}
	r.flags(cmd)
	return cmd
}

// explanation prints a story, a sentence at a time: what held is ticked, what did not is
// crossed, with what was found beneath.
func (c *console) explanation(e api.Explanation) {
	h := e.Handoff
	at := strings.TrimSuffix(h.Application+"/"+h.Trigger, "/")
	c.print("handoff %d of event %d at %s: %s", h.ID, h.Event, printable(at), c.stateColour(h.State))
	c.print("")
	checks, refusals := h.Checks, h.Refusals
	for _, sentence := range e.Story {
		mark, found := "•", ""
		switch {
		case len(checks) > 0 && tells(sentence, checks[0]):
			mark, checks = c.mark(checks[0].OK), checks[1:]
		case len(refusals) > 0 && strings.Contains(sentence, strings.TrimRight(refusals[0].Message, ".:;, ")) && strings.HasPrefix(sentence, "Not proven"):
			mark, found, refusals = c.mark(false), refusals[0].Found, refusals[1:]
		}
		c.item(mark, sentence)
		if found != "" {
			c.item(" ", "found: "+found)
		}
	}
}

// tells reports whether a sentence of a story tells of k.
func tells(sentence string, k bridge.Check) bool {
	n := len(k.What)
	return n > 0 && len(sentence) > n && strings.EqualFold(sentence[:n], k.What) &&
		(strings.HasPrefix(sentence[n:], " holds") || strings.HasPrefix(sentence[n:], " does not hold"))
}

// mark is a tick or a cross.
func (c *console) mark(ok bool) string {
	if ok {
		return c.coloured(green, "✓")
	}
	return c.coloured(red, "✗")
}

// item prints a paragraph behind a mark one column wide.
func (c *console) item(mark, text string) {
	for i, line := range wrap(printable(text), lineWidth-2) {
		if i > 0 {
			mark = " "
		}
		c.print("%s %s", mark, line)
	}
}

// stateColour is a handoff's state, in its colour on a terminal.
func (c *console) stateColour(s bridge.HandoffState) string {
	colour := ""
	switch s {
	case bridge.Accepted:
		colour = green
	case bridge.Refused:
		colour = red
	case bridge.Waiting:
		colour = yellow
	case bridge.Ignored:
	}
	return c.coloured(colour, printable(string(s)))
}
