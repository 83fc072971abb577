package cli

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

const freezesPath = "/api/v1/freezes"

func newFreeze(c *console) *cobra.Command {
	l := &listing[api.Freeze]{
		remote: remote{console: c}, path: freezesPath, query: map[string]*string{}, none: "nothing is frozen",
		head: []string{"ID", "APPLICATION", "ENVIRONMENTS", "STATE", "BY", "REASON"},
		row: func(f api.Freeze) []string {
			return []string{strconv.FormatInt(f.ID, 10), f.Application, strings.Join(f.Environments, ", "), c.freezeState(f), f.By, f.Reason}
		},
	}
	list := l.command("List what is frozen")
	l.filter(list, "application", "only freezes of this application, `NAME`")
	l.flag(list, "all", "those that hold no more too")
	return group(c, "freeze", "Keep promotions out of environments for a while", newFreezeSet(c), list, newFreezeLift(c))
}

// freezeState says whether a freeze holds, and for how long.
func (c *console) freezeState(f api.Freeze) string {
	switch {
	case f.Lifted != nil:
		return "lifted by " + f.LiftedBy + because(f.LiftReason)
	case !f.Until.After(c.Now()):
		return "ended"
	}
	return "holds for " + short(f.Until.Sub(c.Now()))
}

// asksFor is the environment that a trigger promotes to, or what it freezes.
func asksFor(t api.TriggerRule) string {
	if len(t.Freeze) > 0 {
		return "freezes " + strings.Join(t.Freeze, ", ")
	}
	return t.Promote
}

// freezeLine is what a trigger freezes, and for how long at most; "" for one that freezes nothing.
func freezeLine(t api.TriggerRule) string {
	if len(t.Freeze) == 0 {
		return ""
	}
	return strings.Join(t.Freeze, ", ") + ", for " + t.For + " at most"
}

// flag adds a flag that is set or not, and sends it as the parameter of the same name.
func (l *listing[T]) flag(cmd *cobra.Command, name, usage string) {
	value := ""
	l.query[name] = &value
	cmd.Flags().BoolFunc(name, usage, func(s string) error {
		value = s
		return nil
	})
}

func newFreezeSet(c *console) *cobra.Command {
	r := remote{console: c}
	in := api.NewFreeze{}
	var long time.Duration
	cmd := &cobra.Command{
		Use: "set APP[/ENV] --reason TEXT", Short: "Keep promotions out of an environment, or out of all of an application", Args: exactly("APP[/ENV]"),
		Long: "Keep promotions out of an environment, or out of every environment of an application,\n" +
			"until the time is over or the freeze is lifted. What meets it waits; a canary keeps\n" +
			"the share of the traffic that it has. A rollback and an undo pass.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if in.Reason == "" {
				return fault.New(fault.Invalid, "a freeze has a reason").WithField("--reason").WithHint("say why, for those who are kept waiting")
			}
			in.Application, in.Environment, _ = strings.Cut(args[0], "/")
			if long != 0 {
				in.For = long.String()
			}
			var f api.Freeze
			if err := r.send(cmd.Context(), http.MethodPost, freezesPath, in, &f); err != nil {
				return err
			}
			return c.show(r.format, f, func() { c.frozen(f, in) })
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, in a `TEXT` for those who are kept waiting")
	cmd.Flags().DurationVar(&long, "for", 0, "how `LONG`, as 24h or 90m, at most 720h (default 24h)")
	return cmd
}

// frozen says what was frozen, and how that ends.
func (c *console) frozen(f api.Freeze, in api.NewFreeze) {
	where := "every environment of " + f.Application
	if in.Environment != "" {
		where = f.Application + "/" + in.Environment
	}
	c.print("freeze %d keeps promotions out of %s until %s", f.ID, printable(where), until(&f.Until))
	c.say("drawbridge freeze lift %d ends it before that", f.ID)
}

func newFreezeLift(c *console) *cobra.Command {
	r := remote{console: c}
	reason := ""
	cmd := &cobra.Command{
		Use: "lift ID", Short: "Lift a freeze: what waits for its end goes on", Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.lift(cmd.Context(), &r, args[0], reason) },
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, in a `TEXT` for those who come by later")
	return cmd
}

func (c *console) lift(ctx context.Context, r *remote, id, reason string) error {
	if n, err := strconv.ParseInt(id, 10, 64); err != nil || n < 1 {
		return fault.New(fault.Invalid, "%.40q is no freeze", id).WithHint("drawbridge freeze list")
	}
	q := url.Values{}
	if reason != "" {
		q.Set("reason", reason)
	}
	var f api.Freeze
	if err := r.send(ctx, http.MethodDelete, withQuery(freezesPath+"/"+id, q), nil, &f); err != nil {
		return err
	}
	return c.show(r.format, f, func() { c.print("freeze %d of %s is lifted", f.ID, printable(f.Application)) })
}
