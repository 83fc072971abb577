package cli

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/web/api"
)

func newRepo(c *console) *cobra.Command {
	l := &listing[api.Repository]{
		remote: remote{console: c}, path: "/api/v1/repositories",
		none: "there are no repositories yet: drawbridge repo create NAME",
		head: []string{"NAME", "PROTECTED", "AGE", "URL"},
		row: func(r api.Repository) []string {
			return []string{r.Name, strings.Join(r.Protected, " "), c.age(r.Created), r.URL}
		},
	}
	return group(c, "repo", "Make and list Git repositories", newRepoCreate(c), l.command("List repositories"))
}

func newRepoCreate(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a repository, whose pushes start runs, and print its URL", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var made api.Repository
			if err := r.send(cmd.Context(), http.MethodPost, "/api/v1/repositories", api.NewRepository{Name: args[0]}, &made); err != nil {
				return err
			}
			return c.show(r.format, made, func() {
				c.print("%s", made.URL)
				c.say("push to it with your name and token: git push %s main", made.URL)
			})
		},
	}
	r.flags(cmd)
	return cmd
}
