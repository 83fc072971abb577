package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/web/api"
)

func newTriggerShow(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "show APP/NAME", Short: "Show a trigger, when it last fired, and why it did not", Args: exactly("APP/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := triggerPath(args[0])
			if err != nil {
				return err
			}
			var t api.Trigger
			if err := r.get(cmd.Context(), path, &t); err != nil {
				return err
			}
			return c.show(r.format, t, func() { c.trigger(t) })
		},
	}
	r.flags(cmd)
	return cmd
}

// trigger prints one trigger.
func (c *console) trigger(t api.Trigger) {
	state := "active"
	if p := t.Paused; p != nil {
		state = "paused by " + p.By + because(p.Reason) + " (" + c.age(p.At) + " ago)"
	}
	c.pairs(append([]pair{
		{"trigger", t.Application + "/" + t.Name},
		{"state", state},
	}, append(rule(t.TriggerRule),
		pair{"delivery", fmt.Sprintf("version %d", t.Delivery)},
		pair{"last fired", c.outcome(t.LastFired)},
		pair{"last outcome", c.lastOther(t)},
		pair{"next", c.nextAt(t.Next)},
	)...)...)
	for _, p := range t.Polls {
		c.print("%s", strings.Join(wrap(printable(c.poll(p)), lineWidth), "\n  "))
	}
	if len(t.Inputs) > 0 {
		c.pairs(pair{"inputs", string(t.Inputs)})
	}
}

// rule is what a delivery says of a trigger.
func rule(t api.TriggerRule) []pair {
	return []pair{
		{"on", string(t.On)},
		{"receiver", t.Receiver},
		{"type", t.Type},
		{"artifacts", strings.Join(t.Artifacts, ", ")},
		{"together", string(t.Together)},
		{"tags", tagsLine(t.Tags)},
		{"platform", t.Platform},
		{"repository", t.Repository},
		{"branch", t.Branch},
		{"path", t.Path},
		{"commits", commitsLine(t)},
		{"cron", strings.TrimSpace(t.Cron + " " + t.Timezone)},
		{"catch up", catchUp(t)},
		{"when", t.When},
		{"version", t.Version},
		{"waits", t.Wait},
		{"from", t.From},
		{"promotes to", t.Promote},
		{"preset", t.Preset},
		{"freezes", freezeLine(t)},
		{"looks every", t.Every},
	}
}

func tagsLine(g *bridge.TagRule) string {
	if g == nil {
		return ""
	}
	var out []string
	for _, part := range []struct{ name, value string }{{"semver", g.Semver}, {"regex", g.Regex}, {"digest of", g.Digest}} {
		if part.value != "" {
			out = append(out, part.name+" "+part.value)
		}
	}
	if g.Newest {
		out = append(out, "newest by build date")
	}
	if g.Lexical {
		out = append(out, "last by name")
	}
	if len(g.Ignore) > 0 {
		out = append(out, "but for "+strings.Join(g.Ignore, " "))
	}
	return strings.Join(out, ", ")
}

func commitsLine(t api.TriggerRule) string {
	if t.On != bridge.OnGit {
		return ""
	}
	line := "unsigned ones count too"
	if t.Signed {
		line = "must be signed by a signer of the policy"
	}
	if t.Repair {
		line += "; what drifted is asked for again"
	}
	return line
}

func catchUp(t api.TriggerRule) string {
	switch {
	case t.On != bridge.OnSchedule:
		return ""
	case t.CatchUp:
		return "times missed while no server ran are made up for once"
	}
	return "times missed while no server ran are left out"
}

// outcome is what came of an event, in a line.
func (c *console) outcome(o *api.Outcome) string {
	if o == nil {
		return "never"
	}
	version := ""
	if o.Version != "" {
		version = ", version " + o.Version
	}
	return fmt.Sprintf("handoff %d%s, %s ago%s", o.Handoff, version, c.age(o.At), because(o.Reason))
}

// lastOther is the newest outcome, where that is not the one that fired last.
func (c *console) lastOther(t api.Trigger) string {
	if t.Last == nil || t.LastFired != nil && t.Last.Handoff == t.LastFired.Handoff {
		return ""
	}
	return string(t.Last.State) + ", " + c.outcome(t.Last)
}

func (c *console) nextAt(t *time.Time) string {
	if t == nil {
		return ""
	}
	return until(t) + " (" + c.next(t) + ")"
}

// poll says how the looks at a source go.
func (c *console) poll(p api.Poll) string {
	line := "looks at " + p.What
	if p.Kind == bridge.ClockSchedule {
		line = "schedule " + p.What
	}
	if p.Last != nil {
		line += ", last " + c.age(*p.Last) + " ago"
	}
	if p.Next != nil {
		line += ", next " + c.next(p.Next)
	}
	if p.Failures > 0 {
		line += fmt.Sprintf(", %d failures in a row", p.Failures)
	}
	return line + because(p.Reason)
}
