package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/web/api"
)

const eventsPath = "/api/v1/events"

func newEvent(c *console) *cobra.Command {
	l := &listing[api.Event]{
		remote: remote{console: c}, path: eventsPath, query: map[string]*string{},
		none: "there are no events: CI posts one per artifact, others post at receivers",
		head: []string{"ID", "STATE", "ABOUT", "KIND", "FROM", "AGE", "REASON"},
		row: func(e api.Event) []string {
			return []string{fmt.Sprint(e.ID), string(e.State), about(e), string(e.Kind), from(e), c.age(e.Received), e.Reason}
		},
	}
	list := l.command("List events, newest first")
	l.filter(list, "state", "only events in this `STATE`: "+names(bridge.EventStates()))
	l.filter(list, "receiver", "only events that came through this receiver, `NAME`; the server's own are "+
		names([]string{bridge.DoorAPI, bridge.DoorPoll, bridge.DoorClock, bridge.DoorPerson}))
	return group(c, "event", "Look at what the bridge was told", list, newEventShow(c), newEventRedrive(c))
}

// names joins words with commas.
func names[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}

// about says in a few words what an event tells of.
func about(e api.Event) string {
	switch {
	case e.Artifact != "":
		return tagOf(e.Artifact)
	case e.Subject != "":
		return e.Subject
	}
	return e.Type
}

// from is the door that an event came through, with who posted it where that is somebody else.
func from(e api.Event) string {
	if e.Sender == "" || e.Sender == e.Receiver {
		return e.Receiver
	}
	return e.Receiver + " (" + e.Sender + ")"
}
