package cli

import (
	"github.com/spf13/cobra"

	"drawbridge/internal/web/api"
)

func newDrift(c *console) *cobra.Command {
	l := &listing[api.Drift]{
		remote: remote{console: c}, path: "/api/v1/drifts", query: map[string]*string{},
		none: "nothing has drifted from what Git repositories state",
		head: []string{"APPLICATION", "ENVIRONMENT", "STATED", "RUNS", "COMMIT", "BY", "SINCE"},
		row: func(d api.Drift) []string {
			return []string{d.Application, d.Environment, d.Version, or(d.Runs, "nothing"), brief(d.Commit), d.Actor, c.age(d.Since)}
		},
	}
	cmd := l.command("List environments that do not run what their Git repository states")
	cmd.Use = "drift"
	l.filter(cmd, "application", "only environments of this application, `NAME`")
	return cmd
}
