package web

import (
	"net/http"
	"strconv"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// TokenRoutes are the rows of tokens.
func TokenRoutes(tokens *identity.Tokens) []Route {
	h := tokenHandlers{tokens}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/tokens", Action: identity.ManageTokens, Handler: h.list,
			Summary: "List tokens", Paged: true, Response: api.Token{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/tokens", Action: identity.ManageTokens, Handler: h.create,
			Summary: "Make a token", Request: api.NewToken{}, Response: api.CreatedToken{}, Status: http.StatusCreated,
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/tokens/{id}", Action: identity.ManageTokens, Handler: h.revoke,
			Summary: "Revoke a token", Response: api.Token{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/whoami", Action: identity.Read, Handler: h.whoami,
			Summary: "Show the token that asks", Response: api.Token{},
		},
	}
}

type tokenHandlers struct{ tokens *identity.Tokens }

func (h tokenHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, err := PageOf(r)
	if err != nil {
		return err
	}
	after, err := p.AfterID()
	if err != nil {
		return err
	}
	found, err := h.tokens.List(r.Context(), after, p.Limit)
	if err != nil {
		return err
	}
	list := make([]api.Token, len(found))
	for i, t := range found {
		list[i] = api.TokenOf(t)
	}
	return ReplyPage(w, r, p, list, func(t api.Token) string { return strconv.FormatInt(t.ID, 10) })
}

func (h tokenHandlers) create(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.NewToken](r)
	if err != nil {
		return err
	}
	var life time.Duration
	if in.TTL != "" {
		if life, err = time.ParseDuration(in.TTL); err != nil || life <= 0 {
			return fault.New(fault.Invalid, "%.40q is no duration above 0", in.TTL).WithField("ttl").WithHint("write 24h or 90m")
		}
	}
	t, secret, err := h.tokens.Create(r.Context(), identity.Request{
		Name: in.Name, Role: in.Role, Life: life, Applications: in.Applications, By: Token(r.Context()).Name,
	})
	if err != nil {
		return err
	}
	return Reply(w, http.StatusCreated, api.CreatedToken{Token: api.TokenOf(t), Secret: secret})
}

func (h tokenHandlers) revoke(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	t, err := h.tokens.Revoke(r.Context(), id, Token(r.Context()).Name)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, api.TokenOf(t))
}

func (h tokenHandlers) whoami(w http.ResponseWriter, r *http.Request) error {
	return Reply(w, http.StatusOK, api.TokenOf(Token(r.Context())))
}
