package attest

import (
	"encoding/json"
	"fmt"
)

// wirer is a predicate whose signed form is not its plain JSON.
type wirer interface{ wire() any }

func wireOf(p Predicate) any {
	if w, ok := p.(wirer); ok {
		return w.wire()
	}
	return p
}

// Signature says nothing but that the signer vouches for the artifact, as cosign sign does.
type Signature struct{}

// Type is TypeSignature.
func (Signature) Type() string { return TypeSignature }

// Opaque is a signed predicate of which no value is read: a verification summary, or a type
// that this package does not know.
type Opaque struct {
	PredicateType string          // absolute URI
	JSON          json.RawMessage // as it was signed; may be nil
}

// Type is PredicateType.
func (o Opaque) Type() string { return o.PredicateType }

func (o Opaque) wire() any {
	if o.JSON == nil {
		return struct{}{}
	}
	return o.JSON
}

// ParsePredicate reads the predicate of a signed statement: Signature, Provenance, BOM, Tests,
// Coverage, Findings, or Opaque for any other type. A predicate that is not of the form that
// its type prescribes is an error that says what is wrong; raw is kept by BOM and Opaque.
func ParsePredicate(predicateType string, raw []byte) (Predicate, error) {
	p, err := parsePredicate(predicateType, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", display(predicateType), err)
	}
	return p, nil
}

func parsePredicate(predicateType string, raw []byte) (Predicate, error) {
	switch predicateType {
	case TypeSignature:
		return Signature{}, nil
	case TypeProvenance:
		return parseProvenance(raw)
	case TypeCycloneDX, TypeSPDX:
		return parseBOM(predicateType, raw)
	case TypeTests:
		return parseTests(raw)
	case TypeCoverage:
		return parseCoverage(raw)
	case TypeFindings, TypeCosignVuln:
		return parseFindings(raw)
	}
	return Opaque{PredicateType: predicateType, JSON: raw}, nil
}
