package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

const triggersPath = "/api/v1/triggers"

func newTrigger(c *console) *cobra.Command {
	l := &listing[api.Trigger]{
		remote: remote{console: c}, path: triggersPath, query: map[string]*string{},
		none: "there are no triggers: a delivery names them; drawbridge apply -f delivery.yaml",
		head: []string{"TRIGGER", "ON", "PROMOTES", "STATE", "FIRED", "NEXT", "LAST OUTCOME"},
		row: func(t api.Trigger) []string {
			return []string{t.Application + "/" + t.Name, string(t.On), t.Promote, pausedState(t), c.firedAgo(t), c.next(t.Next), lastOutcome(t)}
		},
	}
	list := l.command("List triggers, and how they go")
	l.filter(list, "application", "only triggers of this application, `NAME`")
	return group(c, "trigger", "Look at triggers, pause them and try them out",
		list, newTriggerShow(c), newTriggerPause(c), newTriggerResume(c), newTriggerTest(c))
}

func pausedState(t api.Trigger) string {
	if t.Paused != nil {
		return "paused"
	}
	return "active"
}

func (c *console) firedAgo(t api.Trigger) string {
	if t.LastFired == nil {
		return ""
	}
	return c.age(t.LastFired.At) + " ago"
}

// next is how long it is until a moment to come: "in 3m".
func (c *console) next(t *time.Time) string {
	if t == nil {
		return ""
	}
	return "in " + short(t.Sub(c.Now()))
}

func lastOutcome(t api.Trigger) string {
	if t.Last == nil {
		return ""
	}
	return string(t.Last.State) + because(t.Last.Reason)
}

// triggerPath is the path of a trigger that a person named as APPLICATION/TRIGGER.
func triggerPath(name string) (string, error) {
	application, trigger, both := strings.Cut(name, "/")
	if !both || application == "" || trigger == "" {
		return "", fault.New(fault.Invalid, "%.80q names no trigger", name).WithHint("write APPLICATION/TRIGGER; drawbridge trigger list")
	}
	return triggersPath + "/" + url.PathEscape(application) + "/" + url.PathEscape(trigger), nil
}

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

func newTriggerPause(c *console) *cobra.Command {
	r := remote{console: c}
	in := api.PauseRequest{}
	cmd := &cobra.Command{
		Use: "pause APP/NAME", Short: "Keep a trigger from handing anything over", Args: exactly("APP/NAME"),
		Long: "Keep a trigger from handing anything over until it is resumed. What comes\n" +
			"meanwhile is ignored, on record.",
		RunE: func(cmd *cobra.Command, args []string) error { return c.turn(cmd, &r, args[0], "pause", in) },
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in a `TEXT` for those who come by later")
	return cmd
}

func newTriggerResume(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "resume APP/NAME", Short: "Let a paused trigger hand over again", Args: exactly("APP/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.turn(cmd, &r, args[0], "resume", nil) },
	}
	r.flags(cmd)
	return cmd
}

// turn pauses or resumes a trigger.
func (c *console) turn(cmd *cobra.Command, r *remote, name, verb string, in any) error {
	path, err := triggerPath(name)
	if err != nil {
		return err
	}
	var t api.Trigger
	if err := r.send(cmd.Context(), http.MethodPost, path+"/"+verb, in, &t); err != nil {
		return err
	}
	return c.show(r.format, t, func() {
		if t.Paused != nil {
			c.print("trigger %s/%s is paused by %s%s", printable(t.Application), printable(t.Name), printable(t.Paused.By), because(printable(t.Paused.Reason)))
			return
		}
		c.print("trigger %s/%s is active", printable(t.Application), printable(t.Name))
	})
}

func newTriggerTest(c *console) *cobra.Command {
	r := remote{console: c}
	in := api.TriggerTestRequest{}
	cmd := &cobra.Command{
		Use: "test APP/NAME --event EVENT", Short: "Say what an event would bring about at a trigger, and do nothing", Args: exactly("APP/NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Event == 0 {
				return fault.New(fault.Invalid, "no event named").WithField("--event").WithHint("drawbridge event list")
			}
			path, err := triggerPath(args[0])
			if err != nil {
				return err
			}
			var t api.TriggerTest
			if err := r.send(cmd.Context(), http.MethodPost, path+"/test", in, &t); err != nil {
				return err
			}
			return c.show(r.format, t, func() { c.tested(t) })
		},
	}
	r.flags(cmd)
	cmd.Flags().Int64Var(&in.Event, "event", 0, "number of an `EVENT` that came before")
	return cmd
}

// tested prints what an event would bring about.
func (c *console) tested(t api.TriggerTest) {
	c.print("event %d at %s/%s would be %s%s", t.Event, printable(t.Application), printable(t.Trigger), c.stateColour(t.State), because(printable(t.Reason)))
	c.judged(t.Handoff)
	if len(t.Opens) > 0 {
		c.print("")
		c.print("would open promotions to %s", printable(strings.Join(t.Opens, ", ")))
	}
	c.say("nothing was done")
}
