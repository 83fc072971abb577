package cli

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

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
