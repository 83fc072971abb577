package cli

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

type rollback struct {
	remote
	note string
}

func newRollback(c *console) *cobra.Command {
	o := rollback{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "rollback ENV", Short: "Bring back what was good in an environment before",
		Long: "Undo the promotion that moves in an environment, else bring back the newest release that was\n" +
			"good there before. ENV is APPLICATION/ENVIRONMENT, or ENVIRONMENT alone where one application has it.",
		Args: exactly("ENV"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.note, "message", "m", "", "why, in a `TEXT` that the log keeps")
	return cmd
}

func (o *rollback) run(ctx context.Context, name string) error {
	server, err := o.console.dial(o.connection)
	if err != nil {
		return err
	}
	application, environment, both := strings.Cut(name, "/")
	if !both {
		if application, err = onlyApplication(ctx, server, name); err != nil {
			return err
		}
		environment = name
	}
	var p api.Promotion
	path := "/api/v1/environments/" + url.PathEscape(application) + "/" + url.PathEscape(environment) + "/rollback"
	if err := server.Send(ctx, http.MethodPost, path, api.Rollback{Note: o.note}, &p); err != nil {
		return err
	}
	return o.console.show(o.format, p, func() { o.console.asked(p) })
}

// onlyApplication is the one application that has an environment of that name.
func onlyApplication(ctx context.Context, server *client.Client, environment string) (string, error) {
	var found, all []string
	for e, err := range client.Each[api.Environment](ctx, server, "/api/v1/environments") {
		if err != nil {
			return "", err
		}
		all = append(all, e.Application+"/"+e.Name)
		if e.Name == environment {
			found = append(found, e.Application)
		}
	}
	switch len(found) {
	case 0:
		err := fault.New(fault.NotFound, "there is no environment %.80q", environment)
		if len(all) == 0 {
			return "", err.WithHint("drawbridge apply -f delivery.yaml makes some")
		}
		return "", err.WithHint("there are %s", strings.Join(all, ", "))
	case 1:
		return found[0], nil
	}
	return "", fault.New(fault.Invalid, "%s have an environment %s", strings.Join(found, " and "), environment).
		WithHint("write %s/%s", found[0], environment)
}
