package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"drawbridge/internal/attest"
	"drawbridge/internal/web/api"
)

func newHandoff(c *console) *cobra.Command {
	l := &listing[api.Handoff]{
		remote: remote{console: c}, path: "/api/v1/handoffs", query: map[string]*string{},
		none: "there are no handoffs: an event makes one at each trigger that it concerns",
		head: []string{"ID", "STATE", "APPLICATION", "TRIGGER", "IMAGE", "RELEASE", "AGE", "REASON"},
		row: func(h api.Handoff) []string {
			return []string{
				fmt.Sprint(h.ID), string(h.State), h.Application, h.Trigger, briefImage(h.Image), brief(h.Release), c.age(h.At), h.Reason,
			}
		},
	}
	list := l.command("List handoffs, newest first")
	l.filter(list, "application", "only handoffs of this application, `NAME`")
	l.filter(list, "state", "only handoffs in this `STATE`: accepted, refused, ignored")
	show := showing[api.Handoff]{
		use: "show", short: "Show a handoff with its refusals", arg: "HANDOFF", path: "/api/v1/handoffs/", text: c.handoff,
	}
	return group(c, "handoff", "Look at what the bridge let cross, and what it refused", list, show.command(c))
}

// handoff prints one handoff.
func (c *console) handoff(h api.Handoff) {
	c.pairs(
		pair{"handoff", fmt.Sprintf("%d (event %d)", h.ID, h.Event)},
		pair{"application", h.Application},
		pair{"trigger", h.Trigger},
		pair{"state", string(h.State)},
		pair{"reason", h.Reason},
		pair{"image", h.Image},
		pair{"release", h.Release},
		pair{"judged by", fmt.Sprintf("delivery version %d, trust version %d", h.Delivery, h.Trust)},
		pair{"at", c.when(h.At)},
		pair{"chain", h.Chain},
	)
	c.refusals(h.Refusals)
}

// refusals prints why something may not cross.
func (c *console) refusals(list []attest.Refusal) {
	if len(list) == 0 {
		return
	}
	c.print("")
	rows := make([][]string, len(list))
	for i, r := range list {
		rows[i] = []string{string(r.Rule), r.Message, r.Found}
	}
	c.table([]string{"RULE", "REFUSED BECAUSE", "FOUND"}, rows)
}
