package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// decide is approve and reject, which differ by a word.
type decide struct {
	remote
	verb    string
	message string
	plan    string
}

func newApprove(c *console) *cobra.Command {
	return newDecide(c, "approve", "Approve a promotion's plan")
}

func newReject(c *console) *cobra.Command {
	return newDecide(c, "reject", "End a promotion that has not begun")
}

func newDecide(c *console, verb, short string) *cobra.Command {
	o := decide{remote: remote{console: c}, verb: verb}
	cmd := &cobra.Command{
		Use: verb + " PROMOTION -m TEXT", Short: short, Args: exactly("PROMOTION"),
		Long: short + ". The decision is bound to the plan that you have seen: the one whose\n" +
			"digest you give with --plan, else the one that the command shows you first.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.message == "" {
				return fault.New(fault.Invalid, "a decision has a reason").WithField("--message").WithHint("%s", cmd.UseLine())
			}
			return o.run(cmd.Context(), args[0])
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.message, "message", "m", "", "why, in a `TEXT` that the log keeps")
	cmd.Flags().StringVar(&o.plan, "plan", "", "`DIGEST` of the plan that you have seen (default: the one shown now)")
	return cmd
}

func (o *decide) run(ctx context.Context, promotion string) error {
	server, err := o.console.dial(o.connection)
	if err != nil {
		return err
	}
	path := "/api/v1/promotions/" + url.PathEscape(promotion)
	in := api.Decision{Message: o.message}
	if o.plan != "" {
		if in.Plan, err = artifact.ParseDigest(o.plan); err != nil {
			return fault.New(fault.Invalid, "%.80q is no digest of a plan", o.plan).WithField("--plan").
				WithHint("drawbridge promotion show %s prints it", promotion)
		}
	} else {
		var seen api.Promotion
		if err := server.Get(ctx, path, &seen); err != nil {
			return err
		}
		o.console.glance(seen)
		in.Plan = seen.Plan
	}
	var p api.Promotion
	if err := server.Send(ctx, http.MethodPost, path+"/"+o.verb, in, &p); err != nil {
		return err
	}
	return o.console.show(o.format, p, func() { o.console.asked(p) })
}

// glance says in short what a promotion would do.
func (c *console) glance(p api.Promotion) {
	c.say("promotion %d brings %s %s (release %s) to %s, asked by %s, plan %s:", p.ID, printable(p.Application),
		printable(p.Version), brief(p.Release), printable(p.Environment), or(printable(p.Requester), "nobody"), p.Plan)
	steps := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		steps[i] = fmt.Sprintf("%d %s", i+1, printable(s.Text))
	}
	c.say("  %s", strings.Join(steps, " → "))
}
