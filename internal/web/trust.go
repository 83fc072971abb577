package web

import (
	"context"
	"fmt"
	"net/http"

	"github.com/goccy/go-yaml"

	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// TrustRoutes are the rows of the trust policy.
func TrustRoutes(trusted bridge.Trusted) []Route {
	h := trustHandlers{trusted}
	return []Route{
		{
			Method: http.MethodPut, Pattern: "/api/v1/trust", Action: identity.ApplyTrust, Handler: h.apply,
			Summary: "Merge a trust file into the trust policy by the signers' names", Accepts: api.YAMLType, Response: api.Applied{},
			Query: applyParams(),
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/trust", Action: identity.Read, Handler: h.show,
			Summary: "Show the trust policy that holds", Response: api.Trust{},
		},
	}
}

type trustHandlers struct{ trusted bridge.Trusted }

func (h trustHandlers) show(w http.ResponseWriter, r *http.Request) error {
	policy, version, err := h.trusted.Trust(r.Context())
	if err != nil {
		return err
	}
	if policy.Signers == nil {
		policy.Signers = []attest.Signer{}
	}
	return Reply(w, http.StatusOK, api.Trust{Version: version, Policy: policy})
}

func (h trustHandlers) apply(w http.ResponseWriter, r *http.Request) error {
	dry, err := flag(r, "dry")
	if err != nil {
		return err
	}
	src, err := yamlBody(r)
	if err != nil {
		return err
	}
	name := file(r, "trust.yaml")
	out, err := h.compare(r.Context(), name, src)
	if err != nil {
		return err
	}
	if out.Changed && !dry {
		old, merged, version, err := h.trusted.Apply(r.Context(), Token(r.Context()).Name, name, src)
		if err != nil {
			return err
		}
		out.Version = version
		if out.Diff, err = policyDiff(old, merged); err != nil { // of what was kept, which may have moved since
			return err
		}
	}
	return Reply(w, http.StatusOK, out)
}

// compare is what an apply would do.
func (h trustHandlers) compare(ctx context.Context, name string, src []byte) (api.Applied, error) {
	update, err := attest.ParseTrust(name, src)
	if err != nil {
		return api.Applied{}, err
	}
	old, version, err := h.trusted.Store.Trust(ctx)
	if err != nil {
		return api.Applied{}, err
	}
	text, err := policyDiff(old, attest.Merge(old, update))
	return api.Applied{Kind: "Trust", Name: "default", Version: version, Changed: text != "", Diff: text}, err
}

// policyDiff compares two policies as they would be written in a file.
func policyDiff(old, now attest.Policy) (string, error) {
	var text [2]string
	for i, p := range []attest.Policy{old, now} {
		if len(p.Signers) == 0 {
			continue
		}
		b, err := yaml.MarshalWithOptions(p, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
		if err != nil {
			return "", fmt.Errorf("write the trust policy: %w", err)
		}
		text[i] = string(b)
	}
	return unified("trust", text[0], text[1]), nil
}
