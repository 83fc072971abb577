package web

import (
	"net/http"

	"drawbridge/internal/cd"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// SchemaRoutes are the rows of the JSON Schemas of the files that people write.
func SchemaRoutes() []Route {
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/schema", Action: identity.Read, Media: api.SchemaType,
			Summary: "The JSON Schema of a delivery file",
			Handler: func(w http.ResponseWriter, _ *http.Request) error { return replySchema(w, cd.KindDelivery) },
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/schema/{kind}", Action: identity.Read, Media: api.SchemaType,
			Summary: "The JSON Schema of a file of a kind",
			Handler: func(w http.ResponseWriter, r *http.Request) error { return replySchema(w, r.PathValue("kind")) },
		},
	}
}

func replySchema(w http.ResponseWriter, kind string) error {
	b, err := api.Schema(kind)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", api.SchemaType)
	_, _ = w.Write(b) //nolint:gosec // G705: it is made of our own types, the kind is only compared; a client that went away is nobody's fault
	return nil
}
