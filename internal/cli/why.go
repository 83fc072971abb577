package cli

import (
	"net/url"

	"github.com/spf13/cobra"

	"drawbridge/internal/web/api"
)

func newWhy(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "why [ENV|PROMOTION]", Short: "Say why something moves or does not", Args: atMost(1),
		Long: "Say in one line why something moves or does not, and what to do. Give ENVIRONMENT,\n" +
			"APPLICATION/ENVIRONMENT or a promotion's number; without it, every environment answers.",
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.dial(r.connection)
			if err != nil {
				return err
			}
			q := url.Values{}
			if len(args) > 0 {
				q.Set("about", args[0])
			}
			list, err := collect[api.Answer](cmd.Context(), server, withQuery("/api/v1/why", q))
			if err != nil {
				return err
			}
			return c.show(r.format, list, func() { c.answers(list) })
		},
	}
	r.flags(cmd)
	return cmd
}

// answers prints one line for each answer, with the next step beneath.
func (c *console) answers(list []api.Answer) {
	if len(list) == 0 {
		c.say("there are no environments: drawbridge apply -f delivery.yaml")
	}
	for _, a := range list {
		c.print("%s: %s", printable(a.About), printable(a.Says))
		if a.Hint != "" {
			c.print("  hint: %s", printable(a.Hint))
		}
	}
}
