package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// toldEvent is an event with what came of it.
type toldEvent struct {
	api.Event
	Handoffs []api.Handoff `json:"handoffs"`
}

func newEventShow(c *console) *cobra.Command {
	r := remote{console: c}
	raw := false
	cmd := &cobra.Command{
		Use: "show EVENT", Short: "Show an event, and the handoffs that came of it", Args: exactly("EVENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.dial(r.connection)
			if err != nil {
				return err
			}
			if raw {
				return c.rawEvent(cmd.Context(), server, args[0], r.format)
			}
			var e toldEvent
			if err := server.Get(cmd.Context(), eventsPath+"/"+url.PathEscape(args[0]), &e.Event); err != nil {
				return err
			}
			q := url.Values{"event": {fmt.Sprint(e.ID)}}
			if e.Handoffs, err = collect[api.Handoff](cmd.Context(), server, withQuery("/api/v1/handoffs", q)); err != nil {
				return err
			}
			return c.show(r.format, e, func() { c.event(e) })
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "print the sender's delivery as it arrived; the server keeps it for a week")
	return cmd
}

// event prints one event.
func (c *console) event(e toldEvent) {
	concerns := "every application"
	if e.Applications != nil {
		concerns = strings.Join(e.Applications, ", ")
	}
	if e.Trigger != nil {
		concerns = strings.TrimSuffix(e.Trigger.Application+"/"+e.Trigger.Trigger, "/")
	}
	c.pairs(
		pair{"event", fmt.Sprint(e.ID)},
		pair{"state", string(e.State)},
		pair{"reason", e.Reason},
		pair{"failed tries", number(e.Attempts)},
		pair{"kind", string(e.Kind)},
		pair{"type", e.Type},
		pair{"subject", e.Subject},
		pair{"artifact", e.Artifact},
		pair{"git", gitLine(e.Git)},
		pair{"package", packageLine(e.Package)},
		pair{"alert", alertLine(e.Alert)},
		pair{"actor", e.Actor},
		pair{"source", e.Source},
		pair{"source's id", e.EventID},
		pair{"part", number(e.Part)},
		pair{"receiver", e.Receiver},
		pair{"sender", e.Sender},
		pair{"may concern", concerns},
		pair{"received", c.when(e.Received)},
		pair{"chain", e.Chain},
	)
	if len(e.Handoffs) > 0 {
		c.print("")
		c.table([]string{"HANDOFF", "STATE", "APPLICATION", "TRIGGER", "REASON"}, each(e.Handoffs, func(h api.Handoff) []string {
			return []string{fmt.Sprint(h.ID), string(h.State), h.Application, h.Trigger, h.Reason}
		}))
	}
	switch {
	case e.State == bridge.EventDead:
		c.say("process it again: drawbridge event redrive %d", e.ID)
	case e.State == bridge.EventProcessed && len(e.Handoffs) == 0:
		c.say("no trigger waits for it: drawbridge trigger list; drawbridge trigger test APP/NAME --event %d", e.ID)
	}
}

// each is f of every item.
func each[T, U any](list []T, f func(T) U) []U {
	out := make([]U, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}

// number is n, or nothing for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func gitLine(g *bridge.GitRef) string {
	if g == nil {
		return ""
	}
	words := []string{g.Repository, shortRef(g.Ref), brief(g.Commit)}
	for _, mark := range []struct {
		on   bool
		text string
	}{{g.Deleted, "deleted"}, {g.Draft, "draft"}, {g.Prerelease, "prerelease"}} {
		if mark.on {
			words = append(words, "("+mark.text+")")
		}
	}
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
}

func packageLine(p *bridge.Package) string {
	if p == nil {
		return ""
	}
	return strings.TrimSpace(p.Type + " " + p.Name + " " + p.Version + " " + p.Registry)
}

func alertLine(a *bridge.Alert) string {
	switch {
	case a == nil:
		return ""
	case a.Firing:
		return a.Name + " fires"
	}
	return a.Name + " has ended"
}

// rawEvent prints the body of a delivery; as JSON, its headers too. A terminal gets text alone.
func (c *console) rawEvent(ctx context.Context, server *client.Client, id string, f format) error {
	var raw api.RawEvent
	if err := server.Get(ctx, eventsPath+"/"+url.PathEscape(id)+"/raw", &raw); err != nil {
		return err
	}
	if f.json {
		return c.show(f, raw, nil)
	}
	if !c.Terminal {
		_, err := c.out.Write(raw.Body)
		return err
	}
	var doc any
	text := string(raw.Body)
	if json.Unmarshal(raw.Body, &doc) == nil {
		if b, err := json.MarshalIndent(doc, "", "  "); err == nil {
			text = string(b)
		}
	}
	for line := range strings.Lines(text) {
		c.print("%s", printable(strings.TrimRight(line, "\r\n")))
	}
	return nil
}
