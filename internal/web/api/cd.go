package api

import (
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
)

// Promotion is one release on its way into one environment.
type Promotion struct {
	ID          int64           `json:"id"`
	Application string          `json:"application"`
	Environment string          `json:"environment"`
	Release     string          `json:"release"`
	Version     string          `json:"version"`
	State       cd.State        `json:"state"`
	Signal      cd.Signal       `json:"signal,omitempty"` // what it waits for
	Reason      string          `json:"reason"`           // why it waits or how it ended
	Step        int             `json:"step"`             // index into steps; their number once all are done
	Weight      int             `json:"weight"`           // percent of the traffic that its release has
	Plan        artifact.Digest `json:"plan"`             // digest of the plan: what an approval is bound to
	Requester   string          `json:"requester"`
	Author      string          `json:"author"`
	Base        string          `json:"base,omitempty"` // release that ran before
	Chain       string          `json:"chain"`
	Opened      time.Time       `json:"opened"`
	Admitted    *time.Time      `json:"admitted,omitempty"`
	Ended       *time.Time      `json:"ended,omitempty"`
	Inputs      map[string]any  `json:"inputs,omitempty"` // a person's, which the plan holds
	Steps       []PlanStep      `json:"steps"`
	Causes      []cd.Cause      `json:"causes"`
	Decisions   []cd.Decision   `json:"decisions"`
	Handoff     int64           `json:"handoff,omitempty"` // that a request for it made; in the answer to that request alone
}

// PlanStep is one step of a plan.
type PlanStep struct {
	Kind  cd.StepKind `json:"kind"`
	Text  string      `json:"text"`            // in a few words: "shift 10 %"
	State string      `json:"state,omitempty"` // of a promotion's step: done, current, failed, coming
}

// PromotionOf is p as the API sends it.
func PromotionOf(p cd.Promotion) Promotion {
	out := Promotion{
		ID: int64(p.ID), Application: p.Environment().Application, Environment: p.Environment().Name,
		Release: p.Plan.Release, Version: p.Plan.Version, State: p.State, Signal: p.Signal, Reason: p.Reason,
		Step: p.Step, Weight: p.Weight, Plan: p.PlanDigest, Requester: p.Requester, Author: p.Author, Base: p.Plan.Base,
		Chain: p.Chain, Opened: p.Opened, Admitted: optional(p.Admitted), Ended: optional(p.Ended),
		Inputs: p.Plan.Inputs, Steps: stepsOf(p.Plan), Causes: append([]cd.Cause{}, p.Causes...), Decisions: append([]cd.Decision{}, p.Decisions...),
	}
	for i := range out.Steps {
		out.Steps[i].State = stepState(p, i)
	}
	return out
}

// States of a promotion's step.
const (
	stepDone    = "done"
	stepCurrent = "current"
	stepFailed  = "failed"
	stepComing  = "coming"
)

func stepState(p cd.Promotion, i int) string {
	switch {
	case i < p.Step:
		return stepDone
	case i > p.Step:
		return stepComing
	case p.State.Ended() || p.State == cd.Undoing:
		return stepFailed
	}
	return stepCurrent
}

func stepsOf(p cd.Plan) []PlanStep {
	out := make([]PlanStep, 0, len(p.Steps))
	for _, s := range p.Steps {
		out = append(out, PlanStep{Kind: s.Kind, Text: s.String()})
	}
	return out
}

// NewPromotion asks for a promotion.
type NewPromotion struct {
	Release     string `json:"release" jsonschema:"description=Release id\\, six or more of its first digits\\, or APPLICATION@VERSION."`
	Environment string `json:"environment,omitempty" jsonschema:"description=Name of one of the application's environments; absent: the trigger's."`
	Note        string `json:"note,omitempty"`
	// Trigger is a manual trigger of the application.
	Trigger string         `json:"trigger,omitempty" jsonschema:"description=A manual trigger of the application; absent: none."`
	Inputs  map[string]any `json:"inputs,omitempty" jsonschema:"description=By the schema of the trigger."`
	Key     string         `json:"key,omitempty" jsonschema:"description=Names this request: a repetition by the same identity asks once. The header Idempotency-Key says the same."`
}

// Decision approves or rejects a promotion.
type Decision struct {
	Plan    artifact.Digest `json:"plan" jsonschema:"description=Digest of the plan that the person has seen."`
	Message string          `json:"message"`
}

// Rollback asks for a rollback.
type Rollback struct {
	Note string `json:"note,omitempty"`
}

// Plan is the plan that would bring a release into an environment now.
type Plan struct {
	Digest      artifact.Digest `json:"digest"`
	Application string          `json:"application"`
	Environment string          `json:"environment"`
	Release     string          `json:"release"`
	Version     string          `json:"version"`
	Base        string          `json:"base,omitempty"` // release that runs now
	Image       string          `json:"image"`          // by digest
	Delivery    int64           `json:"delivery"`
	Trust       int64           `json:"trust"`
	Steps       []PlanStep      `json:"steps"`
	Document    cd.Plan         `json:"document"` // the whole plan, of which digest is the hash
}

// PlanOf is p as the API sends it.
func PlanOf(p cd.Plan) Plan {
	return Plan{
		Digest: p.Digest(), Application: p.Environment.Application, Environment: p.Environment.Name, Release: p.Release,
		Version: p.Version, Base: p.Base, Image: p.Candidate.Image.String(), Delivery: p.Delivery, Trust: p.Trust,
		Steps: stepsOf(p), Document: p,
	}
}

// Environment is a place that runs one release of an application.
type Environment struct {
	Application string `json:"application"`
	Name        string `json:"name"`
	Address     string `json:"address"` // host:port once something ran here
	Live        int64  `json:"live"`    // promotion whose release runs here; 0 means none
	Active      int64  `json:"active"`  // promotion that holds the environment; 0 means none
}

// EnvironmentOf is r as the API sends it.
func EnvironmentOf(r cd.EnvironmentRow) Environment {
	return Environment{Application: r.Ref.Application, Name: r.Ref.Name, Address: r.Address, Live: int64(r.Live), Active: int64(r.Active)}
}

// Answer says why something moves or does not, and what to do next.
type Answer = cd.Answer
