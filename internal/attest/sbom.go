package attest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// BOM is a bill of materials as a tool wrote it: a CycloneDX document in JSON, or an SPDX
// document that somebody else signed.
type BOM struct {
	JSON json.RawMessage
	spdx bool
}

// Type is TypeCycloneDX, or TypeSPDX for a document that was read as SPDX.
func (b BOM) Type() string {
	if b.spdx {
		return TypeSPDX
	}
	return TypeCycloneDX
}

func (b BOM) wire() any { return b.JSON }

// SBOM is what gates know of a bill of materials.
type SBOM struct {
	Format     string `json:"format"`     // "CycloneDX 1.6", "SPDX-2.3"
	Components int    `json:"components"` // without the artifact itself; nested ones count
}

// Summary reads the values that gates know.
func (b BOM) Summary() (SBOM, error) {
	if b.spdx {
		return summarizeSPDX(b.JSON)
	}
	return summarizeCycloneDX(b.JSON)
}

func parseBOM(predicateType string, raw []byte) (BOM, error) {
	b := BOM{JSON: raw, spdx: predicateType == TypeSPDX}
	_, err := b.Summary()
	return b, err
}

type cycloneDXComponent struct {
	Components []cycloneDXComponent `json:"components"`
}

func summarizeCycloneDX(raw []byte) (SBOM, error) {
	var doc struct {
		Format  string `json:"bomFormat"`
		Version string `json:"specVersion"`
		cycloneDXComponent
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return SBOM{}, fmt.Errorf("it is no CycloneDX document: %w", err)
	}
	if doc.Format != "CycloneDX" || doc.Version == "" {
		return SBOM{}, errors.New("it is no CycloneDX document: bomFormat or specVersion is missing")
	}
	return SBOM{Format: "CycloneDX " + clip(doc.Version), Components: count(doc.Components)}, nil
}

func count(list []cycloneDXComponent) int {
	n := len(list)
	for _, c := range list {
		n += count(c.Components)
	}
	return n
}

func summarizeSPDX(raw []byte) (SBOM, error) {
	var doc struct {
		Version  string     `json:"spdxVersion"`
		Packages []struct{} `json:"packages"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return SBOM{}, fmt.Errorf("it is no SPDX document: %w", err)
	}
	if doc.Version == "" {
		return SBOM{}, errors.New("it is no SPDX document: spdxVersion is missing")
	}
	return SBOM{Format: clip(doc.Version), Components: len(doc.Packages)}, nil
}
