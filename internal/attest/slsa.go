package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/artifact"
)

// Names of byproducts in our provenances.
const (
	byproductStep        = "step"
	byproductAttestation = "attestation"
)

// wire is p as SLSA provenance v1; parseProvenance reads it back without loss (times in UTC).
func (p Provenance) wire() any {
	s := slsa[slsaExternal, slsaInternal, any]{}
	d := &s.BuildDefinition
	d.BuildType = p.BuildType
	d.ExternalParameters = slsaExternal{
		Source:   &slsaSource{Repository: p.Repository, Ref: p.Ref},
		Workflow: slsaWorkflow{Path: p.Workflow}, Image: p.Image, Version: p.Version,
	}
	d.InternalParameters = slsaInternal{
		WorkflowDigest: p.WorkflowDigest, Run: p.Run, Attempt: p.Attempt, Author: p.Author,
		Chain: p.Chain, Isolation: p.Isolation, Committed: utc(p.Committed),
	}
	if p.Commit != "" {
		d.ResolvedDependencies = append(d.ResolvedDependencies, slsaDescriptor[any]{
			URI: "git+" + p.Repository + "@" + p.Ref, Digest: map[string]string{"gitCommit": p.Commit},
		})
	}
	if w, err := artifact.ParseDigest(p.WorkflowDigest); err == nil {
		d.ResolvedDependencies = append(d.ResolvedDependencies, slsaDescriptor[any]{
			Name: "workflow", URI: p.Workflow, Digest: map[string]string{"sha256": w.Hex()},
		})
	}
	s.RunDetails.Builder.ID = p.Builder
	s.RunDetails.Metadata = slsaMetadata{InvocationID: p.invocation(), StartedOn: utc(p.Started), FinishedOn: utc(p.Finished)}
	for _, step := range p.Steps {
		s.RunDetails.Byproducts = append(s.RunDetails.Byproducts, slsaDescriptor[any]{Name: byproductStep, Annotations: step})
	}
	for _, a := range p.Attestations {
		s.RunDetails.Byproducts = append(s.RunDetails.Byproducts,
			slsaDescriptor[any]{Name: byproductAttestation, Digest: map[string]string{"sha256": a.Hex()}})
	}
	return s
}

// invocation names the run and its attempt, unique per builder.
func (p Provenance) invocation() string {
	if p.Attempt == 0 {
		return p.Run
	}
	return fmt.Sprintf("%s/attempts/%d", p.Run, p.Attempt)
}

// parseProvenance reads SLSA provenance v1 of our CI and of GitHub; of other builders it
// reads what stands in the standard's own fields.
func parseProvenance(raw []byte) (Provenance, error) {
	var s slsa[json.RawMessage, json.RawMessage, json.RawMessage]
	if err := json.Unmarshal(raw, &s); err != nil {
		return Provenance{}, fmt.Errorf("it is no SLSA provenance v1: %w", err)
	}
	d := s.BuildDefinition
	e, err := parameters[slsaExternal](d.BuildType, d.ExternalParameters)
	if err != nil {
		return Provenance{}, err
	}
	i, err := parameters[slsaInternal](d.BuildType, d.InternalParameters)
	if err != nil {
		return Provenance{}, err
	}
	if s.RunDetails.Builder.ID == "" || d.BuildType == "" {
		return Provenance{}, errors.New("it names no builder or no build type")
	}
	p := Provenance{
		Builder: s.RunDetails.Builder.ID, BuildType: d.BuildType, Repository: e.Workflow.Repository, Ref: e.Workflow.Ref,
		Workflow: e.Workflow.Path, Image: e.Image, Version: e.Version,
		WorkflowDigest: i.WorkflowDigest, Run: i.Run, Attempt: i.Attempt, Author: i.Author, Chain: i.Chain, Isolation: i.Isolation,
		Committed: value(i.Committed), Started: value(s.RunDetails.Metadata.StartedOn), Finished: value(s.RunDetails.Metadata.FinishedOn),
	}
	if e.Source != nil {
		p.Repository, p.Ref = e.Source.Repository, e.Source.Ref
	}
	if p.Run == "" {
		p.Run = s.RunDetails.Metadata.InvocationID
	}
	if err := p.addDependencies(d.ResolvedDependencies); err != nil {
		return Provenance{}, err
	}
	return p, p.addByproducts(s.RunDetails.Byproducts)
}

// parameters reads what a build type defines for itself. Foreign build types are free in it:
// what does not fit stays empty, and a demand that needs it says so.
func parameters[T any](buildType string, raw json.RawMessage) (T, error) {
	var v, none T
	if len(raw) == 0 {
		return none, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		if buildType == BuildType {
			return none, fmt.Errorf("its parameters cannot be read: %w", err)
		}
		return none, nil
	}
	return v, nil
}

// addDependencies takes the commit from the Git dependency: the only one, or the one whose
// URI names p's repository and ref. Two commits of one source are a contradiction.
func (p *Provenance) addDependencies(deps []slsaDescriptor[json.RawMessage]) error {
	for _, d := range deps {
		commit := d.Digest["gitCommit"]
		if commit == "" {
			continue
		}
		if p.Repository != "" && !sameRepository(strings.TrimSuffix(d.URI, "@"+p.Ref), p.Repository) {
			continue
		}
		if p.Commit != "" && p.Commit != commit {
			return fmt.Errorf("it names two commits of its source: %s and %s", clip(p.Commit), clip(commit))
		}
		p.Commit = commit
	}
	return nil
}

// addByproducts takes steps and attestations of our own build type; elsewhere byproducts of
// such names may mean anything.
func (p *Provenance) addByproducts(products []slsaDescriptor[json.RawMessage]) error {
	for _, b := range products {
		switch b.Name {
		case byproductStep:
			var step StepResult
			if err := json.Unmarshal(b.Annotations, &step); err != nil {
				return errors.New("it lists a step that cannot be read")
			}
			p.Steps = append(p.Steps, step)
		case byproductAttestation:
			d, err := artifact.ParseDigest("sha256:" + b.Digest["sha256"])
			if err != nil {
				return fmt.Errorf("it lists an attestation by the malformed digest %q", clip(b.Digest["sha256"]))
			}
			p.Attestations = append(p.Attestations, d)
		}
	}
	return nil
}

// sameRepository compares two names of a Git repository as people and tools write them.
func sameRepository(a, b string) bool { return plainRepository(a) == plainRepository(b) }

func plainRepository(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "git+"), "/")
	return strings.TrimSuffix(s, ".git")
}

func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
