package web

import (
	"context"
	"net/http"
	"time"

	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// ReleaseQuery picks releases; zero fields pick all.
type ReleaseQuery struct {
	Application string
	Before      *bridge.Release // those accepted before it
	Limit       int             // at most 200
}

// ReleaseReader reads what a release is and what is demanded of it.
type ReleaseReader interface {
	// Release returns a release by its id, six or more of its first digits, or
	// APPLICATION@VERSION; NotFound when there is none.
	Release(ctx context.Context, ref string) (bridge.Release, error)
	// Delivery returns an application's delivery, the newest for version 0, with its version.
	Delivery(ctx context.Context, application string, version int64) (cd.Delivery, int64, error)
}

// ReleasePlanner previews plans; *cd.Service implements it.
type ReleasePlanner interface {
	// Plan is the plan that would bring release into environment now.
	Plan(ctx context.Context, release, environment string) (cd.Plan, error)
}

// ReleaseParts is what the rows of releases need.
type ReleaseParts struct {
	Store    ReleaseReader
	List     func(ctx context.Context, q ReleaseQuery) ([]bridge.Release, error) // the last accepted first
	Verifier cd.Verifier
	Planner  ReleasePlanner
	Now      func() time.Time
}

// ReleaseRoutes are the rows of releases.
func ReleaseRoutes(parts ReleaseParts) []Route {
	h := releaseHandlers{parts}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/releases", Action: identity.Read, Handler: h.list,
			Summary: "List releases, the last accepted first", Paged: true, Response: api.Release{},
			Query: []Param{{"application", "Only releases of this application."}},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/releases/{ref}", Action: identity.Read, Handler: h.show,
			Summary: "Show a release with its evidence", Response: api.Release{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/releases/{ref}/verify", Action: identity.Read, Handler: h.verify,
			Summary: "Verify a release again, by the trust that holds now", Response: api.Verification{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/releases/{ref}/plan", Action: identity.Read, Handler: h.plan,
			Summary: "Preview the plan that would bring a release into an environment now", Response: api.Plan{},
			Query: []Param{{"environment", "Name of one of the application's environments; required."}},
		},
	}
}

type releaseHandlers struct{ ReleaseParts }

func (h releaseHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, err := PageOf(r)
	if err != nil {
		return err
	}
	p.Limit = min(p.Limit, storeLimit)
	q := ReleaseQuery{Application: r.URL.Query().Get("application"), Limit: p.Limit}
	if p.After != "" {
		last, err := h.Store.Release(r.Context(), p.After)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "want what next said").WithField("after")
		}
		q.Before = &last
	}
	found, err := h.List(r.Context(), q)
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.ReleaseOf), func(v api.Release) string { return v.ID })
}

func (h releaseHandlers) show(w http.ResponseWriter, r *http.Request) error {
	found, err := h.Store.Release(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	out := api.ReleaseOf(found)
	out.Evidence = found.Evidence
	return Reply(w, http.StatusOK, out)
}

func (h releaseHandlers) verify(w http.ResponseWriter, r *http.Request) error {
	found, err := h.Store.Release(r.Context(), r.PathValue("ref"))
	if err != nil {
		return err
	}
	d, version, err := h.Store.Delivery(r.Context(), found.Application, 0)
	if err != nil {
		return err
	}
	v, err := h.Verifier.VerifySet(r.Context(), d.Application(version).Artifacts, found.Artifacts, h.Now())
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.Verification{
		Release: found.ID, OK: len(v.Refusals) == 0, Refusals: append([]attest.Refusal{}, v.Refusals...), Evidence: v.Evidence, Trust: v.Trust,
	})
}

func (h releaseHandlers) plan(w http.ResponseWriter, r *http.Request) error {
	environment := r.URL.Query().Get("environment")
	if environment == "" {
		return fault.New(fault.Invalid, "is missing").WithField("environment").WithHint("name one of the application's environments")
	}
	plan, err := h.Planner.Plan(r.Context(), r.PathValue("ref"), environment)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.PlanOf(plan))
}
