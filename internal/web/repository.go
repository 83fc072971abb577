package web

import (
	"context"
	"net/http"

	"drawbridge/internal/ci"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// RepositoryReader reads repositories; ci.Repositories has its methods.
type RepositoryReader interface {
	// Repository returns one repository; NotFound when there is none of that name.
	Repository(ctx context.Context, name string) (ci.Repository, error)
	// ListRepositories lists up to limit repositories by name, those after the given name.
	ListRepositories(ctx context.Context, after string, limit int) ([]ci.Repository, error)
}

// RepositoryCreate makes a repository, its row and its directory; by is who asked.
type RepositoryCreate func(ctx context.Context, name, by string) (ci.Repository, error)

// RepositoryRoutes are the rows of repositories; url is this server's address, below which
// Git finds them.
func RepositoryRoutes(store RepositoryReader, create RepositoryCreate, url string) []Route {
	h := repositoryHandlers{store, create, url}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/repositories", Action: identity.Read, Handler: h.list,
			Summary: "List repositories by name", Paged: true, Response: api.Repository{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/repositories", Action: identity.CreateRepository, Handler: h.create,
			Summary: "Make a repository", Request: api.NewRepository{}, Response: api.Repository{}, Status: http.StatusCreated,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/repositories/{name}", Action: identity.Read, Handler: h.show,
			Summary: "Show a repository", Response: api.Repository{},
		},
	}
}

type repositoryHandlers struct {
	store RepositoryReader
	make  RepositoryCreate
	url   string
}

func (h repositoryHandlers) document(r ci.Repository) api.Repository {
	return api.RepositoryOf(r, h.url)
}

func (h repositoryHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, err := PageOf(r)
	if err != nil {
		return err
	}
	p.Limit = min(p.Limit, storeLimit)
	found, err := h.store.ListRepositories(r.Context(), p.After, p.Limit)
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, h.document), func(v api.Repository) string { return v.Name })
}

func (h repositoryHandlers) create(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.NewRepository](r)
	if err != nil {
		return err
	}
	made, err := h.make(r.Context(), in.Name, Token(r.Context()).Name)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusCreated, h.document(made))
}

func (h repositoryHandlers) show(w http.ResponseWriter, r *http.Request) error {
	found, err := h.store.Repository(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, h.document(found))
}
