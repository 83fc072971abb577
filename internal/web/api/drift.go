package api

import (
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
)

// Drift is an environment that does not run what its Git repository states.
type Drift struct {
	Application string    `json:"application"`
	Environment string    `json:"environment"`
	Trigger     string    `json:"trigger"`
	Version     string    `json:"version"` // that is stated
	Release     string    `json:"release"`
	Commit      string    `json:"commit"`         // that states it
	Actor       string    `json:"actor"`          // who signed that commit; the committer's name, unverified, where no signature is asked for
	Runs        string    `json:"runs,omitempty"` // version that runs
	Since       time.Time `json:"since"`          // when it was stated
}

// DriftOf is d as the API sends it.
func DriftOf(d bridge.Drift) Drift {
	return Drift{
		Application: d.Application, Environment: d.Environment, Trigger: d.Trigger, Version: d.Version, Release: d.Release,
		Commit: d.Commit, Actor: d.Actor, Runs: d.Runs, Since: d.Since,
	}
}

// Status is what one environment is and what is on its way there.
type Status struct {
	cd.Status
	Expected *Expected `json:"expected,omitempty"` // what a Git repository states; absent where none does
}

// Expected is what a Git repository states about an environment.
type Expected struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Actor   string `json:"actor"`
	Drifted bool   `json:"drifted"` // something else runs
}

// StatusOf is st with what the expectations of its application state about it.
func StatusOf(st cd.Status, stated []bridge.Expectation) Status {
	out := Status{Status: st}
	for _, e := range stated {
		if e.Application == st.Application && e.Environment == st.Environment && e.Version != "" {
			out.Expected = &Expected{Version: e.Version, Commit: e.Commit, Actor: e.Actor, Drifted: e.Release != st.Release}
		}
	}
	return out
}
