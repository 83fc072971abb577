package ci

import (
	"context"
	"fmt"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// sign makes every bundle of a run, nothing of it is seen by anybody yet. The provenance
// of an artifact comes last: it lists all others.
func (s *Service) sign(ctx context.Context, run Run, jobs []RunJob, artifacts []sealed, reports []Report) ([]Bundle, error) {
	claims, err := claimsOf(reports, jobs)
	if err != nil {
		return nil, err
	}
	base, err := s.provenance(ctx, run, jobs)
	if err != nil {
		return nil, err
	}
	var bundles []Bundle
	for _, a := range artifacts {
		predicates := append([]attest.Predicate{attest.Signature{}, attest.BOM{JSON: a.publication.SBOM}}, claims...)
		p := base
		p.Image, p.Version = a.publication.Image.Name(), a.tags[0]
		for _, j := range jobs {
			if j.ID == a.publication.Job {
				p.Isolation = j.Facts.Isolation
			}
		}
		for i := 0; i <= len(predicates); i++ {
			var predicate attest.Predicate = p
			if i < len(predicates) {
				predicate = predicates[i]
			}
			body, err := attest.Sign(s.Key, attest.Subject{Name: p.Image, Digest: a.image.Digest}, predicate)
			if err != nil {
				return nil, fmt.Errorf("sign %s of %s: %w", attest.ShortName(predicate.Type()), a.image, err)
			}
			p.Attestations = append(p.Attestations, artifact.DigestOf(body))
			bundles = append(bundles, Bundle{
				Run: run.ID, Number: len(bundles) + 1, Artifact: a.image, Predicate: predicate.Type(), Body: body, At: millis(s.Now()),
			})
		}
	}
	return bundles, nil
}

// provenance is what the service itself has observed of the run, without what differs
// between its artifacts.
func (s *Service) provenance(ctx context.Context, run Run, jobs []RunJob) (attest.Provenance, error) {
	committed, err := commitTime(ctx, s.Source, run.Repository, run.Commit)
	if err != nil {
		return attest.Provenance{}, passing(err)
	}
	p := attest.Provenance{
		Builder: s.Builder, BuildType: attest.BuildType, Repository: run.Repository, Ref: run.Ref, Commit: run.Commit,
		Workflow: run.File, WorkflowDigest: artifact.DigestOf(run.Source).String(), Run: subject(run), Attempt: run.Attempt,
		Author: run.Pusher, Chain: run.Chain, Committed: committed, Started: run.Started,
	}
	for _, j := range jobs {
		if j.Ended.After(p.Finished) {
			p.Finished = j.Ended
		}
		steps, err := s.Store.Steps(ctx, j.ID)
		if err != nil {
			return p, passing(err)
		}
		for _, step := range steps {
			if step.Attempt == j.Attempt && (step.State == StepSucceeded || step.State == StepFailed) {
				p.Steps = append(p.Steps, attest.StepResult{Job: j.Key, Step: step.Name, Exit: step.Exit})
			}
		}
	}
	if p.Finished.IsZero() {
		p.Finished = millis(s.Now())
	}
	return p, nil
}
