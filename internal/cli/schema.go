package cli

import (
	"github.com/spf13/cobra"

	"drawbridge/internal/web/api"
)

func newSchema(c *console) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of a delivery file, for editors", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			b, err := api.DeliverySchema()
			if err != nil {
				return err
			}
			_, err = c.out.Write(b)
			return err
		},
	}
}
