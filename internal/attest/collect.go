package attest

import (
	"slices"
	"time"
)

// evidence collects the values of all testimony that was accepted.
func (j *judge) evidence() Evidence {
	e := Evidence{Attestations: []Attestation{}}
	for _, t := range j.heard {
		if t.predicate == nil {
			continue
		}
		if t.At.IsZero() {
			t.At = j.finished(t)
		}
		e.Attestations = append(e.Attestations, t.Attestation)
		e.add(t.predicate)
	}
	slices.Sort(e.Authors)
	e.Authors = slices.Compact(e.Authors)
	return e
}

// finished is when the signer's first run finished: the only time that bundles signed by
// a key state.
func (j *judge) finished(t testimony) (at time.Time) {
	for _, o := range j.provenances() {
		p, ok := o.predicate.(Provenance)
		if ok && o.Signer == t.Signer && (at.IsZero() || p.Finished.Before(at)) {
			at = p.Finished
		}
	}
	return at
}

// add takes one value; where there is one already, the worse stands.
func (e *Evidence) add(p Predicate) {
	switch v := p.(type) {
	case Provenance:
		if v.Author != "" {
			e.Authors = append(e.Authors, v.Author)
		}
		if e.Provenance == nil || v.Finished.Before(e.Provenance.Finished) {
			e.Provenance = &v
		}
	case Tests:
		if !v.Ran() {
			return
		}
		if e.Tests != nil {
			v = e.Tests.worse(v)
		}
		e.Tests = &v
	case Coverage:
		if !v.Known() {
			return
		}
		if e.Coverage != nil {
			v = e.Coverage.worse(v)
		}
		e.Coverage = &v
	case Findings:
		v.SARIF = nil
		if e.Findings != nil {
			v = e.Findings.worse(v)
		}
		e.Findings = &v
	case BOM:
		e.addSBOM(v)
	}
}

// addSBOM keeps the bill that lists most: the others have overlooked something.
func (e *Evidence) addSBOM(b BOM) {
	s, err := b.Summary()
	if err == nil && (e.SBOM == nil || s.Components > e.SBOM.Components) {
		e.SBOM = &s
	}
}
