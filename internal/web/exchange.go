package web

import (
	"context"
	"net/http"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// maxExchange is the largest body of an exchange, in bytes: the token and what is around it.
const maxExchange = identity.MaxIDToken + 4<<10

// Exchanger gives tokens to workloads; *identity.Exchange implements it.
type Exchanger interface {
	// Exchange verifies an identity token and returns a token that posts events for
	// application, and its secret; see identity.Exchange.
	Exchange(ctx context.Context, idToken, application string) (identity.Token, string, error)
}

// ExchangeRoutes are the rows of the exchange of identity tokens. It is anonymous: the
// identity token in the body is the proof, and a body over 20 KiB is not read.
func ExchangeRoutes(x Exchanger) []Route {
	return []Route{{
		Method: http.MethodPost, Pattern: api.ExchangePath, Anonymous: true, Handler: exchangeHandler(x),
		Summary: "Exchange a workload's identity token for a token that posts events",
		Request: api.ExchangeRequest{}, Response: api.ExchangedToken{},
	}}
}

func exchangeHandler(x Exchanger) Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		r.Body = http.MaxBytesReader(w, r.Body, maxExchange)
		in, err := Decode[api.ExchangeRequest](r)
		if err != nil {
			return err
		}
		if in.Token == "" {
			return fault.New(fault.Invalid, "no identity token").WithField("token").WithHint("see drawbridge submit --help")
		}
		t, secret, err := x.Exchange(r.Context(), in.Token, in.Application)
		if err != nil {
			return err
		}
		return Reply(w, http.StatusOK, api.ExchangedToken{Token: secret, Application: t.Applications[0], Expires: t.Expires})
	}
}
