package cli

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// command makes the list command of a noun. The caller adds flags for its filters.
func (l *listing[T]) command(short string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: short, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd.Context()) },
	}
	l.flags(cmd)
	return cmd
}

// showing is a command that shows one thing of type T.
type showing[T any] struct {
	use, short string
	arg        string // what the argument is called
	method     string // "" means GET
	path       string // of the API, up to the thing's name
	suffix     string // behind it
	text       func(T)
}

// command makes the show command of a noun.
func (s showing[T]) command(c *console) *cobra.Command {
	r := remote{console: c}
	if s.method == "" {
		s.method = http.MethodGet
	}
	cmd := &cobra.Command{
		Use: s.use + " " + s.arg, Short: s.short, Args: exactly(s.arg),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v T
			if err := r.send(cmd.Context(), s.method, s.path+url.PathEscape(args[0])+s.suffix, nil, &v); err != nil {
				return err
			}
			return c.show(r.format, v, func() { s.text(v) })
		},
	}
	r.flags(cmd)
	return cmd
}
