package web

import (
	"net/http"

	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// policyName is the name of the one policy.
const policyName = "default"

// PolicyRoutes are the rows of the policy.
func PolicyRoutes(store DocumentStore) []Route {
	h := policyHandlers{documents{kind: bridge.KindPolicy, store: store}}
	return []Route{
		{
			Method: http.MethodPut, Pattern: "/api/v1/policy", Action: identity.ApplyPolicy, Handler: h.put,
			Summary: "Apply a policy file in place of the policy that holds", Accepts: api.YAMLType, Response: api.Applied{}, Query: applyParams(),
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/policy", Action: identity.Read, Handler: h.show,
			Summary: "Show the policy that holds", Response: api.Policy{},
		},
	}
}

type policyHandlers struct{ documents }

func (h policyHandlers) put(w http.ResponseWriter, r *http.Request) error {
	src, err := yamlBody(r)
	if err != nil {
		return err
	}
	if _, err := bridge.ParsePolicy(file(r, "policy.yaml"), src); err != nil {
		return err
	}
	return h.apply(w, r, policyName, src)
}

func (h policyHandlers) show(w http.ResponseWriter, r *http.Request) error {
	src, version, err := h.store.Newest(r.Context(), h.kind, policyName)
	if err != nil {
		return err
	}
	out := api.Policy{Version: version, Source: string(src)}
	if len(src) > 0 {
		if out.Policy, err = bridge.ParsePolicy("policy", src); err != nil {
			return err
		}
	}
	return Reply(w, http.StatusOK, out)
}
