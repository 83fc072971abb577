package web

import (
	"context"
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// Drifter compares what Git repositories state with what runs; *bridge.Service implements it.
type Drifter interface {
	// Drifts returns the environments of an application that do not run what is stated.
	Drifts(ctx context.Context, application string) ([]bridge.Drift, error)
}

// ApplicationLister lists applications.
type ApplicationLister interface {
	// Applications lists the names of the deliveries after a name, sorted.
	Applications(ctx context.Context, after string, limit int) ([]string, error)
}

// DriftRoutes is the row of drift.
func DriftRoutes(store ApplicationLister, drifter Drifter) []Route {
	return []Route{{
		Method: http.MethodGet, Pattern: "/api/v1/drifts", Action: identity.Read,
		Summary: "List the environments that do not run what their Git repository states", Paged: true, Response: api.Drift{},
		Query: []Param{{"application", "Only environments of this application."}},
		Handler: func(w http.ResponseWriter, r *http.Request) error {
			names, err := chosen(r.Context(), store, r.URL.Query().Get("application"))
			if err != nil {
				return err
			}
			var out []api.Drift
			for _, name := range names {
				list, err := drifter.Drifts(r.Context(), name)
				if err != nil {
					return err
				}
				out = append(out, each(list, api.DriftOf)...)
			}
			return replySlice(w, r, out, func(d api.Drift) string { return d.Application + "/" + d.Environment })
		},
	}}
}
