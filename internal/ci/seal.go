package ci

import (
	"context"
	"fmt"
	"slices"

	"drawbridge/internal/artifact"
	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// eventSource is the CloudEvents source of what runs publish.
const eventSource = "/ci"

// sealed is one artifact of a run that is being sealed.
type sealed struct {
	image       artifact.Reference // by digest
	tags        []string
	publication Publication // the first of this artifact
}

// Seal makes what a run has published count. All jobs have succeeded; now, in this order:
// the evidence is signed and kept, every bundle is attached, every tag is set, the events
// are put into the outbox together with the end of the run. Seal may stop anywhere and be
// called again: what is kept is never signed anew, and what is done is found done.
//
// A run whose artifacts may not be sealed fails, with nothing signed. An error means that
// something is out of reach; it is to be called again.
func (s *Service) Seal(ctx context.Context, runID int64) error {
	_, release, ok := s.claim(ctx, -runID) // no job has a negative id
	if !ok {
		return nil
	}
	defer release()
	run, err := s.Store.Run(ctx, runID)
	if err != nil || run.State != RunSealing {
		return err
	}
	err = s.seal(ctx, run)
	if f := fault.As(err); f != nil && final(f.Kind) {
		return s.failSealing(ctx, runID, reasonOf(f))
	}
	return err
}

// final reports whether no repetition helps.
func final(k fault.Kind) bool {
	switch k {
	case fault.Unavailable, fault.Full, fault.Internal, fault.Unauthenticated, fault.Forbidden, fault.Blocked:
		return false // of the server's surroundings, not of the run
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Refused, fault.TooLarge:
		return true
	}
	return false
}

func (s *Service) seal(ctx context.Context, run Run) error {
	jobs, err := s.Store.Jobs(ctx, run.ID)
	if err != nil {
		return passing(err)
	}
	published, reports, err := s.Store.Published(ctx, run.ID)
	if err != nil {
		return passing(err)
	}
	artifacts := artifactsOf(counting(published, jobs))
	bundles, err := s.Store.Bundles(ctx, run.ID)
	if err != nil {
		return passing(err)
	}
	if len(bundles) == 0 {
		if err := s.maySeal(ctx, run, artifacts); err != nil {
			return err
		}
		if bundles, err = s.sign(ctx, run, jobs, artifacts, reports); err != nil {
			return err
		}
		if run, err = s.keep(ctx, run, bundles); err != nil {
			return passing(err)
		}
	}
	for _, b := range bundles {
		if err := s.Publisher.Attach(ctx, b); err != nil {
			return fmt.Errorf("attach bundle %d of run %d: %w", b.Number, run.ID, err)
		}
	}
	for _, a := range artifacts {
		for _, tag := range a.tags {
			if err := s.Publisher.Tag(ctx, a.image, tag); err != nil {
				return fmt.Errorf("tag %s %s: %w", a.image, tag, err)
			}
		}
	}
	return passing(s.announce(ctx, run, artifacts))
}

// passing turns what the store says into an error that is tried again: a lost race or a
// missing row says nothing against the run.
func passing(err error) error {
	if f := fault.As(err); f != nil && final(f.Kind) {
		return fault.Wrap(fault.Unavailable, err, "sealing: %s", f.Message)
	}
	return err
}

// artifactsOf groups publications by artifact, in the order of the first of each.
func artifactsOf(published []Publication) []sealed {
	var out []sealed
	for _, p := range published {
		ref := p.Image.WithDigest(p.Digest)
		i := slices.IndexFunc(out, func(a sealed) bool { return a.image == ref })
		if i < 0 {
			i = len(out)
			out = append(out, sealed{image: ref, publication: p})
		}
		for _, t := range p.Tags {
			if !slices.Contains(out[i].tags, t) {
				out[i].tags = append(out[i].tags, t)
			}
		}
	}
	return out
}

// maySeal asks again, right before signing, what publish has asked.
func (s *Service) maySeal(ctx context.Context, run Run, artifacts []sealed) error {
	repo, err := s.Store.Repository(ctx, run.Repository)
	if err != nil {
		return passing(err)
	}
	taken := map[artifact.Reference]artifact.Digest{}
	for _, a := range artifacts {
		image := a.publication.Image
		if err := mayPublish(repo, run.Ref, image); err != nil {
			return err
		}
		for _, tag := range a.tags {
			if d, ok := taken[image.WithTag(tag)]; ok && d != a.image.Digest {
				return tagTaken(image, tag, d)
			}
			taken[image.WithTag(tag)] = a.image.Digest
			if err := tagFree(ctx, s.Resolver, image, a.image.Digest, tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep makes the signed bundles durable before anybody sees one.
func (s *Service) keep(ctx context.Context, run Run, bundles []Bundle) (Run, error) {
	entry := s.runEntry(run, "run.sign", nil)
	entry.Detail = map[string]string{}
	for _, b := range bundles {
		entry.Detail[fmt.Sprintf("bundle %d", b.Number)] = b.Predicate + " " + artifact.DigestOf(b.Body).String()
	}
	if err := s.Store.Save(ctx, Change{Run: &run, Bundles: bundles, Record: []audit.Entry{entry}}); err != nil {
		return run, err
	}
	run.Version++
	return run, nil
}

// announce ends the run and puts its events into the outbox.
func (s *Service) announce(ctx context.Context, run Run, artifacts []sealed) error {
	next, err := run.Apply(RunSealed, s.Now(), "")
	if err != nil {
		return err
	}
	change := Change{Run: &next, Record: []audit.Entry{s.runEntry(next, "run.succeeded", nil)}}
	for _, a := range artifacts {
		for i, tag := range a.tags {
			ev, err := s.event(next, a, i, tag)
			if err != nil {
				return err
			}
			change.Events = append(change.Events, ev)
		}
		change.Record = append(change.Record, s.runEntry(next, "artifact.publish", map[string]string{
			"artifact": a.image.String(), "tags": clip(fmt.Sprint(a.tags)),
		}))
	}
	return s.Store.Save(ctx, change)
}

// event tells of one tag of one artifact. The id of the first tag's event is that of the
// artifact in its run.
func (s *Service) event(run Run, a sealed, i int, tag string) (Event, error) {
	key := fmt.Sprintf("run/%d/%s", run.ID, a.publication.Image.Name())
	if i > 0 {
		key += ":" + tag
	}
	ref := a.image
	ref.Tag = tag
	body, err := bridge.Published{
		Source: eventSource, ID: key, Chain: run.Chain, Artifact: ref,
		Repository: run.Repository, Ref: run.Ref, Commit: run.Commit, At: run.Ended,
	}.CloudEvent()
	if err != nil {
		return Event{}, fmt.Errorf("write the event of %s: %w", ref, err)
	}
	return Event{Source: eventSource, Key: key, Run: run.ID, Body: body, Created: run.Ended}, nil
}

// failSealing ends a run that must not be sealed.
func (s *Service) failSealing(ctx context.Context, runID int64, reason string) error {
	run, err := s.Store.Run(ctx, runID)
	if err != nil || run.State != RunSealing {
		return err
	}
	next, err := run.Apply(RunFail, s.Now(), clip(reason))
	if err != nil {
		return err
	}
	entry := s.runEntry(next, "run.failed", map[string]string{"reason": next.Reason})
	return passing(s.Store.Save(ctx, Change{Run: &next, Record: []audit.Entry{entry}}))
}

func (s *Service) runEntry(run Run, action string, detail map[string]string) audit.Entry {
	return audit.Entry{At: s.Now(), Actor: actorService, Action: action, Subject: subject(run), Chain: run.Chain, Detail: detail}
}
