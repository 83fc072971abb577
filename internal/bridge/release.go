package bridge

import (
	"encoding/json"
	"time"

	"github.com/Masterminds/semver/v3"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// Release is an immutable set of artifacts, verified and pinned by digest.
type Release struct {
	ID          string                     `json:"id"` // 64 hex digits; see ReleaseID
	Application string                     `json:"application"`
	Version     string                     `json:"version"` // the tag under which it was accepted; names one digest for ever
	Artifacts   map[string]artifact.Digest `json:"artifacts"`
	Evidence    attest.Evidence            `json:"evidence"`
	Snapshot    artifact.Digest            `json:"snapshot"` // hash of Evidence
	Delivery    int64                      `json:"delivery"` // version of the delivery it was accepted under
	Trust       int64                      `json:"trust"`    // version of the trust policy it was verified with
	Author      string                     `json:"author"`   // authenticated pusher of its commit
	Authors     []string                   `json:"authors"`  // all whose runs gave this digest, sorted
	Commit      string                     `json:"commit"`
	Chain       string                     `json:"chain"`     // chain id from the push to production
	Committed   time.Time                  `json:"committed"` // when the commit was pushed
	Built       time.Time                  `json:"built"`     // signed build-finish time
	Published   time.Time                  `json:"published"` // time of the event
	Accepted    time.Time                  `json:"accepted"`
}

// ReleaseID is the SHA-256, in hex, of the canonical JSON of the delivery's name and
// the digest of each artifact. Evidence is not in it.
func ReleaseID(delivery string, artifacts map[string]artifact.Digest) string {
	body, err := json.Marshal(struct {
		Delivery  string                     `json:"delivery"`
		Artifacts map[string]artifact.Digest `json:"artifacts"`
	}{delivery, artifacts}) // maps marshal sorted by key
	if err != nil {
		panic("bridge: a map of digests does not marshal: " + err.Error())
	}
	return artifact.DigestOf(body).Hex()
}

// Newer reports whether a is newer than b: by semantic version where both have one and
// they differ, else by the signed time at which the build ended.
func Newer(a, b Release) bool {
	va, erra := semver.NewVersion(a.Version)
	vb, errb := semver.NewVersion(b.Version)
	if erra == nil && errb == nil {
		if c := va.Compare(vb); c != 0 {
			return c > 0
		}
	}
	return a.Built.After(b.Built)
}

// release builds the release of one verified artifact.
func release(app Application, rule ArtifactRule, ev Event, digest artifact.Digest, v Verdict, now time.Time) Release {
	arts := map[string]artifact.Digest{rule.Name: digest}
	r := Release{
		ID: ReleaseID(app.Name, arts), Application: app.Name, Version: ev.Published.Artifact.Tag, Artifacts: arts,
		Evidence: v.Evidence, Snapshot: v.Evidence.Hash(), Delivery: app.Delivery, Trust: v.Trust,
		Chain: ev.Published.Chain, Published: ev.Published.At, Accepted: now,
	}
	if p := v.Evidence.Provenance; p != nil {
		r.Authors = v.Evidence.Authors
		r.Author, r.Commit, r.Committed, r.Built = p.Author, p.Commit, p.Committed, p.Finished
		if p.Chain != "" {
			r.Chain = p.Chain // signed, where the event only claims
		}
	}
	return r
}
