package attest

import (
	"encoding/json"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
)

// Evidence is what has been verified about one artifact: the typed document that gates
// read. What nobody stated is nil, never zero. Where several statements of one kind count,
// the worst value stands. The same bundles give the same Evidence at any time.
type Evidence struct {
	Provenance   *Provenance   `json:"provenance,omitempty"` // of the run that finished first, so that building again changes no author
	Authors      []string      `json:"authors,omitempty"`    // of all provenances that counted, sorted
	Tests        *Tests        `json:"tests,omitempty"`      // nil too when no test ran
	Coverage     *Coverage     `json:"coverage,omitempty"`   // nil too when there was nothing to cover
	Findings     *Findings     `json:"findings,omitempty"`   // counts only, SARIF is nil
	SBOM         *SBOM         `json:"sbom,omitempty"`
	Attestations []Attestation `json:"attestations"` // those that counted, sorted by digest
}

// Attestation names one bundle that counted.
type Attestation struct {
	Digest        artifact.Digest `json:"digest"`        // of the bundle's bytes
	PredicateType string          `json:"predicateType"` // from the signed statement
	Signer        string          `json:"signer"`        // name in the trust policy
	At            time.Time       `json:"at,omitzero"`   // UTC; signed timestamp, else finish of the signer's run; zero when unknown
}

// Hash names the evidence: the digest of its canonical JSON (fields in order, map keys
// sorted, no white space). Two documents with one hash say the same. It panics where a
// value has no JSON, which Verify never returns.
func (e Evidence) Hash() artifact.Digest {
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("attest: evidence that Verify did not make: %v", err))
	}
	return artifact.DigestOf(b)
}
