package web

import (
	"context"
	"net/http"

	"github.com/rogpeppe/go-internal/diff"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// DeliveryStore keeps deliveries.
type DeliveryStore interface {
	cd.Documents
	// Applications lists the names of the deliveries after a name, sorted.
	Applications(ctx context.Context, after string, limit int) ([]string, error)
	// Document returns one version of a document as it was applied; NotFound when there is none.
	Document(ctx context.Context, kind, name string, version int64) ([]byte, error)
}

// DeliveryRoutes are the rows of deliveries.
func DeliveryRoutes(store DeliveryStore) []Route {
	h := deliveryHandlers{store}
	return []Route{
		{
			Method: http.MethodPut, Pattern: "/api/v1/deliveries", Action: identity.ApplyDelivery, Handler: h.apply,
			Summary: "Apply a delivery file; it never deploys", Accepts: api.YAMLType, Response: api.Applied{},
			Query: applyParams(),
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/deliveries", Action: identity.Read, Handler: h.list,
			Summary: "List deliveries by name", Paged: true, Response: api.Delivery{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/deliveries/{name}", Action: identity.Read, Handler: h.show,
			Summary: "Show a delivery as it was applied", Response: api.Delivery{},
			Query: []Param{{"version", "Absent: the newest."}},
		},
	}
}

func applyParams() []Param {
	return []Param{
		{"file", "The file's name, for the positions of errors."},
		{"dry", "true: check and compare, keep nothing."},
	}
}

type deliveryHandlers struct{ store DeliveryStore }

func (h deliveryHandlers) apply(w http.ResponseWriter, r *http.Request) error {
	dry, err := flag(r, "dry")
	if err != nil {
		return err
	}
	src, err := yamlBody(r)
	if err != nil {
		return err
	}
	a, err := cd.ApplyDelivery(r.Context(), h.store, Token(r.Context()).Name, file(r, "delivery.yaml"), src, dry)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.Applied{
		Kind: cd.KindDelivery, Name: a.Name, Version: a.Version, Changed: a.Changed, Diff: unified(a.Name, a.Old, a.New),
	})
}

// unified is the difference between two versions of a document; empty when there is none.
func unified(name, old, now string) string {
	return string(diff.Diff(name+" (applied)", []byte(old), name+" (file)", []byte(now)))
}

func (h deliveryHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, err := PageOf(r)
	if err != nil {
		return err
	}
	p.Limit = min(p.Limit, storeLimit)
	names, err := h.store.Applications(r.Context(), p.After, p.Limit)
	if err != nil {
		return err
	}
	list := make([]api.Delivery, 0, len(names))
	for _, name := range names {
		_, version, err := h.store.Newest(r.Context(), cd.KindDelivery, name)
		if err != nil {
			return err
		}
		list = append(list, api.Delivery{Name: name, Version: version})
	}
	return ReplyPage(w, r, p, list, func(v api.Delivery) string { return v.Name })
}

func (h deliveryHandlers) show(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	want, err := number(r, "version")
	if err != nil {
		return err
	}
	src, version, err := h.store.Newest(r.Context(), cd.KindDelivery, name)
	if err != nil {
		return err
	}
	if version == 0 {
		return fault.New(fault.NotFound, "there is no delivery %.80q", name).WithHint("drawbridge apply -f FILE")
	}
	if want != 0 && want != version {
		version = want
		if src, err = h.store.Document(r.Context(), cd.KindDelivery, name, want); err != nil {
			return err
		}
	}
	return Reply(w, http.StatusOK, api.Delivery{Name: name, Version: version, Source: string(src)})
}
