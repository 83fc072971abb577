package bridge

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/Masterminds/semver/v3"

	"drawbridge/internal/artifact"
)

// Release is an immutable set of artifacts, verified and pinned by digest.
type Release struct {
	ID          string                     `json:"id"` // 64 hex digits; see ReleaseID
	Application string                     `json:"application"`
	Version     string                     `json:"version"` // under which it was accepted, by the trigger's rule; names one set of digests for ever
	Artifacts   map[string]artifact.Digest `json:"artifacts"`
	Evidence    EvidenceSet                `json:"evidence"` // by artifact
	Snapshot    artifact.Digest            `json:"snapshot"` // hash of Evidence
	Delivery    int64                      `json:"delivery"` // version of the delivery it was accepted under
	Trust       int64                      `json:"trust"`    // version of the trust policy it was verified with
	Author      string                     `json:"author"`   // authenticated pusher of its commit
	Authors     []string                   `json:"authors"`  // all whose runs gave these digests, sorted
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

// newRelease is the release of a set of artifacts that were verified. The first artifact
// of the trigger names the commit, the last build the time.
func newRelease(in hearing, version string, set map[string]artifact.Digest, v SetVerdict) Release {
	f := in.ev.Fact
	r := Release{
		ID: ReleaseID(in.app.Name, set), Application: in.app.Name, Version: version, Artifacts: set,
		Evidence: v.Evidence, Snapshot: v.Evidence.Hash(), Delivery: in.app.Delivery, Trust: v.Trust,
		Chain: f.Chain, Published: f.At, Accepted: in.now,
	}
	if r.Published.IsZero() {
		r.Published = in.ev.Received
	}
	for _, name := range in.t.Artifacts {
		e := v.Evidence[name]
		r.Authors = append(r.Authors, e.Authors...)
		p := e.Provenance
		if p == nil {
			continue
		}
		if r.Commit == "" {
			r.Author, r.Commit, r.Committed = p.Author, p.Commit, p.Committed
			if p.Chain != "" {
				r.Chain = p.Chain // signed, where the event only claims
			}
		}
		if p.Finished.After(r.Built) {
			r.Built = p.Finished
		}
	}
	slices.Sort(r.Authors)
	r.Authors = slices.Compact(r.Authors)
	return r
}
