package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

func newToken(c *console) *cobra.Command {
	return group(c, "token", "Make, list and revoke tokens", newTokenCreate(c), newTokenList(c), newTokenRevoke(c))
}

type tokenCreate struct {
	remote
	role string
	ttl  time.Duration
	apps []string
}

func newTokenCreate(c *console) *cobra.Command {
	o := tokenCreate{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "create NAME --role ROLE", Short: "Make a token and print its secret",
		Long: "Make a token for the identity NAME and print its secret, which is shown this once.",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.role, "role", "", "`ROLE`: "+roles())
	cmd.Flags().DurationVar(&o.ttl, "ttl", 0, "how `LONG` it lives, as 24h or 90m (default 90 days; for ever for machines)")
	cmd.Flags().StringSliceVar(&o.apps, "application", nil, "`NAME` of an application that its events may concern, for --role events; may be repeated (default all)")
	return cmd
}

func roles() string {
	var names []string
	for _, r := range identity.Roles() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

func (o *tokenCreate) run(ctx context.Context, name string) error {
	if o.role == "" {
		return fault.New(fault.Invalid, "a token has a role").WithField("--role").WithHint("give one of %s", roles())
	}
	in := api.NewToken{Name: name, Role: identity.Role(o.role), Applications: o.apps}
	if o.ttl != 0 {
		in.TTL = o.ttl.String()
	}
	var made api.CreatedToken
	if err := o.send(ctx, http.MethodPost, "/api/v1/tokens", in, &made); err != nil {
		return err
	}
	return o.console.show(o.format, made, func() { o.console.print("%s", made.Secret) })
}

func newTokenList(c *console) *cobra.Command {
	l := &listing[api.Token]{
		remote: remote{console: c}, path: "/api/v1/tokens", none: "there are no tokens",
		head: []string{"ID", "NAME", "ROLE", "ENDS IN", "AGE", "STATE", "SECRET", "BY", "FOR", "SUBJECT"},
		row: func(t api.Token) []string {
			return []string{fmt.Sprint(t.ID), t.Name, string(t.Role), expiry(c, t), c.age(t.Created), tokenState(c, t), "…" + t.LastFour, t.By, strings.Join(t.Applications, " "), t.Subject}
		},
	}
	return l.command("List tokens, without their secrets")
}

func tokenState(c *console, t api.Token) string {
	switch {
	case t.Revoked != nil:
		return "revoked"
	case t.Expires != nil && !c.Now().Before(*t.Expires):
		return "expired"
	}
	return "holds"
}

func expiry(c *console, t api.Token) string {
	if t.Expires == nil {
		return "never"
	}
	return short(t.Expires.Sub(c.Now()))
}

func newTokenRevoke(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End a token at once", Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var t api.Token
			if err := r.send(cmd.Context(), http.MethodDelete, "/api/v1/tokens/"+url.PathEscape(args[0]), nil, &t); err != nil {
				return err
			}
			return c.show(r.format, t, func() { c.say("token %d of %s (…%s) is revoked", t.ID, t.Name, t.LastFour) })
		},
	}
	r.flags(cmd)
	return cmd
}
