package api

import (
	"time"

	"drawbridge/internal/bridge"
)

// Freeze keeps promotions out of environments for a while.
type Freeze struct {
	ID           int64      `json:"id"`
	Application  string     `json:"application"`
	Environments []string   `json:"environments"`      // names; "*": every one
	Trigger      string     `json:"trigger,omitempty"` // that set it; absent: a person
	Reason       string     `json:"reason"`
	By           string     `json:"by"` // a receiver or a person
	At           time.Time  `json:"at"`
	Until        time.Time  `json:"until"`            // when it ends by itself
	Lifted       *time.Time `json:"lifted,omitempty"` // when it was lifted before that
	LiftedBy     string     `json:"liftedBy,omitempty"`
	LiftReason   string     `json:"liftReason,omitempty"`
}

// FreezeOf is f as the API sends it.
func FreezeOf(f bridge.Freeze) Freeze {
	return Freeze{
		ID: f.ID, Application: f.Application, Environments: append([]string{}, f.Environments...), Trigger: f.Trigger, Reason: f.Reason,
		By: f.By, At: f.At, Until: f.Until, Lifted: optional(f.Lifted), LiftedBy: f.LiftedBy, LiftReason: f.LiftReason,
	}
}

// NewFreeze asks for a freeze.
type NewFreeze struct {
	Application string `json:"application"`
	Environment string `json:"environment,omitempty" jsonschema:"description=Name of one of the application's environments; absent: every one."`
	Reason      string `json:"reason" jsonschema:"description=Why\\, for those who are kept waiting."`
	For         string `json:"for,omitempty" jsonschema:"description=How long\\, as 24h or 90m\\, at most 720h; absent: 24h."` // a Go duration
}
