package cli

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

const workloadsPath = "/api/v1/workloads"

func newWorkload(c *console) *cobra.Command {
	o := apply{remote: remote{console: c}, only: identity.KindWorkload}
	apply := o.command("Keep a rule for jobs of another CI as a new version")
	apply.Long = "Keep a rule: jobs of another CI whose issuer says this of them may post events for these applications.\n" +
		"drawbridge submit uses it: no stored token is needed."
	l := &listing[api.Workload]{
		remote: remote{console: c}, path: workloadsPath, none: "no workload may post events: drawbridge workload apply -f workload.yaml",
		head: []string{"NAME", "FOR", "ISSUER", "SUBJECT", "CLAIMS"},
		row: func(w api.Workload) []string {
			return []string{w.Name, strings.Join(w.Applications, " "), w.Issuer, w.Subject, strings.Join(claims(w), " ")}
		},
	}
	show := showing[api.Workload]{
		use: "show", short: "Show a rule for workloads", arg: "NAME", path: workloadsPath + "/", text: c.workload,
	}
	return group(c, "workload", "Say which jobs of other CIs may post events",
		apply, l.command("List rules for workloads"), show.command(c), newWorkloadRemove(c))
}

// claims are the claims that a rule wants, sorted.
func claims(w api.Workload) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(w.Claims)) {
		out = append(out, name+"="+w.Claims[name])
	}
	return out
}

// workload prints one rule.
func (c *console) workload(w api.Workload) {
	c.pairs(
		pair{"workload", w.Name},
		pair{"issuer", w.Issuer},
		pair{"audience", or(w.Audience, "this server's URL")},
		pair{"subject", w.Subject},
		pair{"claims", strings.Join(claims(w), ", ")},
		pair{"may post for", strings.Join(w.Applications, ", ")},
	)
}

func newWorkloadRemove(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a rule away: its jobs get no more tokens", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.send(cmd.Context(), http.MethodDelete, workloadsPath+"/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			c.say("workload %s is removed; tokens that its jobs have hold for some minutes more", printable(args[0]))
			return nil
		},
	}
	r.connection.flags(cmd)
	return cmd
}
