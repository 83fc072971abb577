package api

import (
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/identity"
)

// Release is an immutable set of artifacts, verified and pinned by digest.
type Release struct {
	ID          string                     `json:"id"`
	Application string                     `json:"application"`
	Version     string                     `json:"version"`
	Artifacts   map[string]artifact.Digest `json:"artifacts"`
	Author      string                     `json:"author"` // authenticated pusher of its commit
	Commit      string                     `json:"commit"`
	Chain       string                     `json:"chain"`
	Snapshot    artifact.Digest            `json:"snapshot"` // hash of the evidence
	Delivery    int64                      `json:"delivery"`
	Trust       int64                      `json:"trust"`
	Built       time.Time                  `json:"built"`
	Accepted    time.Time                  `json:"accepted"`
	Evidence    bridge.EvidenceSet         `json:"evidence,omitempty"` // of each artifact, by its name; of one release, not in lists
}

// ReleaseOf is r as the API sends it in lists, without its evidence.
func ReleaseOf(r bridge.Release) Release {
	return Release{
		ID: r.ID, Application: r.Application, Version: r.Version, Artifacts: r.Artifacts, Author: r.Author, Commit: r.Commit,
		Chain: r.Chain, Snapshot: r.Snapshot, Delivery: r.Delivery, Trust: r.Trust, Built: r.Built, Accepted: r.Accepted,
	}
}

// Verification is a release judged anew by the trust policy that holds now.
type Verification struct {
	Release  string             `json:"release"`
	OK       bool               `json:"ok"`
	Refusals []attest.Refusal   `json:"refusals"`
	Evidence bridge.EvidenceSet `json:"evidence"` // of each artifact, by its name
	Trust    int64              `json:"trust"`
}

// Trust is the trust policy that holds.
type Trust struct {
	Version int64         `json:"version"` // 0: no document was applied
	Policy  attest.Policy `json:"policy"`  // with the implied signer ci, where this server has a CI plane
}

// Policy is the floor under deliveries.
type Policy struct {
	Version int64         `json:"version"` // 0: no document was applied
	Policy  bridge.Policy `json:"policy"`
	Source  string        `json:"source,omitempty"` // YAML as it was applied
}

// Workload is a rule by which a workload gets a token that posts events.
type Workload struct {
	Name         string            `json:"name"`
	Issuer       string            `json:"issuer"`
	Audience     string            `json:"audience,omitempty"` // absent: the server's own URL
	Subject      string            `json:"subject"`            // pattern
	Claims       map[string]string `json:"claims,omitempty"`   // patterns of further claims
	Applications []string          `json:"applications"`       // that its events may concern
	Version      int64             `json:"version"`
	Source       string            `json:"source,omitempty"` // YAML as it was applied; not in lists
}

// WorkloadOf is w as the API sends it, without its source.
func WorkloadOf(w identity.Workload, version int64) Workload {
	return Workload{
		Name: w.Name, Issuer: w.Issuer, Audience: w.Audience, Subject: w.Subject, Claims: w.Claims, Applications: w.Applications, Version: version,
	}
}
