package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/cd"
	"drawbridge/internal/web/api"
)

func newSchema(c *console) *cobra.Command {
	return &cobra.Command{
		Use: "schema [KIND]", Short: "Print the JSON Schema of a kind of file, for editors", Args: atMost(1),
		Long: "Print the JSON Schema of a kind of file, with which editors complete and check it. KIND is one of\n" +
			strings.Join(api.SchemaKinds(), ", ") + "; without it, " + cd.KindDelivery + ".",
		ValidArgs: api.SchemaKinds(),
		RunE: func(_ *cobra.Command, args []string) error {
			kind := first(args)
			if kind == "" {
				kind = cd.KindDelivery
			}
			b, err := api.Schema(kind)
			if err != nil {
				return err
			}
			_, err = c.out.Write(b)
			return err
		},
	}
}
