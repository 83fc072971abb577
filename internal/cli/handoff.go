package cli

import (
	"fmt"
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
