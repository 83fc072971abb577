package web

import (
	"net/http"

	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// SchemaRoutes is the row of the delivery's JSON Schema.
func SchemaRoutes() []Route {
	return []Route{{
		Method: http.MethodGet, Pattern: "/api/v1/schema", Action: identity.Read, Media: api.SchemaType,
		Summary: "The JSON Schema of a delivery file",
		Handler: func(w http.ResponseWriter, _ *http.Request) error {
			b, err := api.DeliverySchema()
			if err != nil {
				return err
			}
			w.Header().Set("Content-Type", api.SchemaType)
			_, _ = w.Write(b) // a client that went away is nobody's fault
			return nil
		},
	}}
}
