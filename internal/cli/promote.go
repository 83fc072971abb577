package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

const releaseHelp = "RELEASE is its id, six or more of the id's first digits, or APPLICATION@VERSION."

type promote struct {
	remote
	to, note, trigger string
	inputs            []string // NAME=VALUE
}

// target adds --to to cmd.
func (o *promote) target(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.to, "to", "", "`ENV`: name of one of the application's environments")
}

func (o *promote) need(cmd *cobra.Command) error {
	if o.to == "" {
		return fault.New(fault.Invalid, "no environment named").WithField("--to").WithHint("%s", cmd.UseLine())
	}
	return nil
}

func newPromote(c *console) *cobra.Command {
	o := promote{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "promote RELEASE --to ENV", Short: "Ask for a release to come into an environment",
		Long: "Ask for a release to come into an environment. Its gates and approvals stand as they do for any other.\n" +
			"A manual trigger of the application, --trigger, names the environment itself and may take inputs.\n" + releaseHelp,
		Args: exactly("RELEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.trigger == "" {
				if err := o.need(cmd); err != nil {
					return err
				}
			}
			return o.run(cmd.Context(), args[0])
		},
	}
	o.flags(cmd)
	o.target(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.note, "message", "m", "", "why, in a `TEXT` that the log keeps")
	f.StringVar(&o.trigger, "trigger", "", "`NAME` of a manual trigger to ask through")
	f.StringArrayVar(&o.inputs, "input", nil, "`NAME=VALUE` that the trigger takes; a VALUE that is JSON counts as such, else it is text; may be repeated")
	return cmd
}

func (o *promote) run(ctx context.Context, release string) error {
	in := api.NewPromotion{Release: release, Environment: o.to, Note: o.note, Trigger: o.trigger}
	var err error
	if in.Inputs, err = inputs(o.inputs); err != nil {
		return err
	}
	var p api.Promotion
	if err := o.send(ctx, http.MethodPost, "/api/v1/promotions", in, &p); err != nil {
		return err
	}
	return o.console.show(o.format, p, func() { o.console.asked(p) })
}

// inputs are the values that a person gave as NAME=VALUE. What is JSON goes out as it
// was written, so that no number loses digits.
func inputs(list []string) (map[string]any, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(map[string]any, len(list))
	for _, text := range list {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fault.New(fault.Invalid, "%.80q is not NAME=VALUE", text).WithField("--input").WithHint("write --input dry-run=true")
		}
		if _, twice := out[name]; twice {
			return nil, fault.New(fault.Invalid, "input %.80q is given twice", name).WithField("--input")
		}
		out[name] = value
		if json.Valid([]byte(value)) {
			out[name] = json.RawMessage(value)
		}
	}
	return out, nil
}

func newPlan(c *console) *cobra.Command {
	o := promote{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "plan RELEASE --to ENV", Short: "Show what a promotion would do, and change nothing",
		Long: "Show the plan that would bring a release into an environment now, and change nothing.\n" + releaseHelp,
		Args: exactly("RELEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.need(cmd); err != nil {
				return err
			}
			var p api.Plan
			path := "/api/v1/releases/" + url.PathEscape(args[0]) + "/plan"
			if err := o.get(cmd.Context(), withQuery(path, url.Values{"environment": {o.to}}), &p); err != nil {
				return err
			}
			return c.show(o.format, p, func() { c.plan(p) })
		},
	}
	o.flags(cmd)
	o.target(cmd)
	return cmd
}

// plan prints one plan.
func (c *console) plan(p api.Plan) {
	c.pairs(
		pair{"plan", p.Digest.String()},
		pair{"to", p.Application + "/" + p.Environment},
		pair{"release", p.Version + " (" + brief(p.Release) + ")"},
		pair{"image", p.Image},
		pair{"runs now", or(brief(p.Base), "nothing")},
		pair{"made from", fmt.Sprintf("delivery version %d, trust version %d", p.Delivery, p.Trust)},
	)
	c.print("")
	c.steps(p.Steps)
}
