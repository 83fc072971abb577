package web

import (
	"fmt"
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// WorkloadRoutes are the rows of the rules by which workloads get tokens.
func WorkloadRoutes(store DocumentStore, list DocumentList) []Route {
	h := workloadHandlers{documents{kind: bridge.KindWorkload, store: store, list: list}}
	return []Route{
		{
			Method: http.MethodPut, Pattern: "/api/v1/workloads", Action: identity.ManageWorkloads, Handler: h.put,
			Summary: "Apply a workload file", Accepts: api.YAMLType, Response: api.Applied{}, Query: applyParams(),
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/workloads", Action: identity.Read, Handler: h.all,
			Summary: "List workloads by name", Paged: true, Response: api.Workload{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/workloads/{name}", Action: identity.Read, Handler: h.show,
			Summary: "Show a workload as it was applied", Response: api.Workload{},
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/workloads/{name}", Action: identity.ManageWorkloads, Handler: h.remove,
			Summary: "Remove a workload: it gets no more tokens",
		},
	}
}

type workloadHandlers struct{ documents }

func (h workloadHandlers) put(w http.ResponseWriter, r *http.Request) error {
	src, err := yamlBody(r)
	if err != nil {
		return err
	}
	rule, err := identity.ParseWorkload(file(r, "workload.yaml"), src)
	if err != nil {
		return err
	}
	return h.apply(w, r, rule.Name, src)
}

func workloadOf(d Document) (api.Workload, error) {
	rule, err := identity.ParseWorkload(d.Name, d.Body)
	if err != nil {
		return api.Workload{}, fmt.Errorf("read workload %s: %w", d.Name, err)
	}
	return api.WorkloadOf(rule, d.Version), nil
}

func (h workloadHandlers) all(w http.ResponseWriter, r *http.Request) error {
	p, docs, err := h.page(r)
	if err != nil {
		return err
	}
	out := make([]api.Workload, 0, len(docs))
	for _, d := range docs {
		v, err := workloadOf(d)
		if err != nil {
			return err
		}
		out = append(out, v)
	}
	return ReplyPage(w, r, p, out, func(v api.Workload) string { return v.Name })
}

func (h workloadHandlers) show(w http.ResponseWriter, r *http.Request) error {
	d, err := h.newest(r, r.PathValue("name"))
	if err != nil {
		return err
	}
	out, err := workloadOf(d)
	if err != nil {
		return err
	}
	out.Source = string(d.Body)
	return Reply(w, http.StatusOK, out)
}

func (h workloadHandlers) remove(w http.ResponseWriter, r *http.Request) error {
	if err := h.store.DropDocument(r.Context(), Token(r.Context()).Name, h.kind, r.PathValue("name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
