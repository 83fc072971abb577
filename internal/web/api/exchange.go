package api

import "time"

// ExchangePath is where a workload gets a token for its identity token.
const ExchangePath = "/api/v1/token/exchange"

// ExchangeRequest asks for a token that posts events.
type ExchangeRequest struct {
	Token       string `json:"token" jsonschema:"description=The identity token that the workload's platform issued for this server."` // JSON Web Token, at most 16 KiB
	Application string `json:"application,omitempty" jsonschema:"description=Whose events; may be omitted where the rules name one."`
}

// ExchangedToken is the token that a workload got.
type ExchangedToken struct {
	Token       string    `json:"token"`       // the secret; it posts events for the application and does nothing else
	Application string    `json:"application"` // the one
	Expires     time.Time `json:"expires"`     // UTC
}
