package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// EnvironmentReader lists environments.
type EnvironmentReader interface {
	// Environments returns the environments of an application, or of all with "", in order.
	Environments(ctx context.Context, application string) ([]cd.EnvironmentRow, error)
}

// Reporter says what is where and why; *cd.Service implements it.
type Reporter interface {
	// Status reports on every environment of an application, or of all with "".
	Status(ctx context.Context, application string) ([]cd.Status, error)
	// WhyPromotion explains one promotion.
	WhyPromotion(ctx context.Context, id cd.PromotionID) (cd.Answer, error)
	// WhyEnvironments explains every environment of an application, or of all with "".
	WhyEnvironments(ctx context.Context, application string) ([]cd.Answer, error)
}

// Rollbacker goes back; *cd.Service implements it.
type Rollbacker interface {
	// Rollback stops what moves in an environment, else brings back what was good before.
	Rollback(ctx context.Context, actor string, ref cd.EnvironmentRef, note string) (cd.Promotion, error)
}

// Expecter says what Git repositories state.
type Expecter interface {
	// Expected returns what an application's Git triggers state, by environment.
	Expected(ctx context.Context, application string) ([]bridge.Expectation, error)
}

// EnvironmentParts is what the rows of environments need.
type EnvironmentParts struct {
	Store    EnvironmentReader
	Reporter Reporter
	Rollback Rollbacker
	Expected Expecter
}

// EnvironmentRoutes are the rows of environments, of status and of why.
func EnvironmentRoutes(parts EnvironmentParts) []Route {
	h := environmentHandlers{parts}
	one := []Param{{"application", "Only environments of this application."}}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/environments", Action: identity.Read, Handler: h.list,
			Summary: "List environments in the order of their deliveries", Paged: true, Response: api.Environment{}, Query: one,
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/environments/{application}/{environment}/rollback", Action: identity.Rollback,
			Handler: h.rollback, Summary: "Roll an environment back", Request: api.Rollback{}, Response: api.Promotion{}, Status: http.StatusCreated,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/status", Action: identity.Read, Handler: h.status,
			Summary: "Show what runs where and what is on its way", Paged: true, Response: api.Status{}, Query: one,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/why", Action: identity.Read, Handler: h.why,
			Summary: "Say why something moves or does not", Paged: true, Response: api.Answer{},
			Query: []Param{{"about", "A promotion's number, ENVIRONMENT, or APPLICATION/ENVIRONMENT; absent: every environment."}},
		},
	}
}

type environmentHandlers struct{ EnvironmentParts }

func (h environmentHandlers) list(w http.ResponseWriter, r *http.Request) error {
	rows, err := h.Store.Environments(r.Context(), r.URL.Query().Get("application"))
	if err != nil {
		return err
	}
	return replySlice(w, r, each(rows, api.EnvironmentOf), func(v api.Environment) string { return v.Application + "/" + v.Name })
}

func (h environmentHandlers) status(w http.ResponseWriter, r *http.Request) error {
	list, err := h.Reporter.Status(r.Context(), r.URL.Query().Get("application"))
	if err != nil {
		return err
	}
	stated := map[string][]bridge.Expectation{}
	out := make([]api.Status, 0, len(list))
	for _, st := range list {
		if _, known := stated[st.Application]; !known {
			if stated[st.Application], err = h.Expected.Expected(r.Context(), st.Application); err != nil {
				return err
			}
		}
		out = append(out, api.StatusOf(st, stated[st.Application]))
	}
	return replySlice(w, r, out, func(v api.Status) string { return v.Application + "/" + v.Environment })
}

func (h environmentHandlers) why(w http.ResponseWriter, r *http.Request) error {
	about := r.URL.Query().Get("about")
	if id, err := strconv.ParseInt(about, 10, 64); err == nil {
		a, err := h.Reporter.WhyPromotion(r.Context(), cd.PromotionID(id))
		if err != nil {
			return err
		}
		return replySlice(w, r, []api.Answer{a}, func(v api.Answer) string { return v.About })
	}
	list, err := h.Reporter.WhyEnvironments(r.Context(), "")
	if err != nil {
		return err
	}
	list, err = concerning(list, about)
	if err != nil {
		return err
	}
	return replySlice(w, r, list, func(v api.Answer) string { return v.About })
}

// concerning keeps the answers about one environment: APPLICATION/ENVIRONMENT, or its name
// alone, which several applications may have.
func concerning(list []api.Answer, about string) ([]api.Answer, error) {
	if about == "" {
		return list, nil
	}
	var out []api.Answer
	for _, a := range list {
		if a.About == about || strings.HasSuffix(a.About, "/"+about) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "there is no environment %.80q", about).WithField("about").WithHint("drawbridge status")
	}
	return out, nil
}

func (h environmentHandlers) rollback(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.Rollback](r)
	if err != nil {
		return err
	}
	ref := cd.EnvironmentRef{Application: r.PathValue("application"), Name: r.PathValue("environment")}
	p, err := h.Rollback.Rollback(r.Context(), Token(r.Context()).Name, ref, in.Note)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusCreated, api.PromotionOf(p))
}
