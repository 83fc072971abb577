package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"drawbridge/internal/web/api"
)

func newEvent(c *console) *cobra.Command {
	l := &listing[api.Event]{
		remote: remote{console: c}, path: "/api/v1/events", none: "there are no events: CI posts one for each artifact that it published",
		head: []string{"ID", "STATE", "ARTIFACT", "SENDER", "AGE", "SOURCE"},
		row: func(e api.Event) []string {
			return []string{fmt.Sprint(e.ID), string(e.State), briefImage(e.Artifact), e.Sender, c.age(e.Received), e.Source}
		},
	}
	show := showing[api.Event]{
		use: "show", short: "Show an event", arg: "EVENT", path: "/api/v1/events/",
		text: func(e api.Event) {
			c.pairs(
				pair{"event", fmt.Sprint(e.ID)}, pair{"state", string(e.State)}, pair{"artifact", e.Artifact}, pair{"source", e.Source},
				pair{"source's id", e.EventID}, pair{"sender", e.Sender}, pair{"received", c.when(e.Received)}, pair{"chain", e.Chain},
			)
		},
	}
	return group(c, "event", "Look at what the bridge was told", l.command("List events, newest first"), show.command(c))
}
