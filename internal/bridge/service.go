package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/fault"
)

// Service receives events and judges them. Its fields are set once, before use; its
// methods are safe for concurrent use.
type Service struct {
	Ledger   Ledger
	Verifier Verifier
	Planner  Planner
	Now      func() time.Time
}

// Receive keeps the CloudEvent in body, sent by the identity sender, and returns once it
// is committed. A repetition gives the event that is kept already.
func (s *Service) Receive(ctx context.Context, sender string, body []byte) (Event, bool, error) {
	p, err := ParsePublished(body)
	if err != nil {
		return Event{}, false, err
	}
	return s.Ledger.Receive(ctx, Event{Published: p, Sender: sender, Received: s.now(), State: EventReceived})
}

// Process judges one event at each trigger that it may concern and writes the outcomes.
// It may be called again after a crash: what was written is not written twice. A registry
// that is out of reach gives a fault of kind Unavailable; the caller tries again later.
func (s *Service) Process(ctx context.Context, id int64) error {
	ev, err := s.Ledger.Event(ctx, id)
	if err != nil {
		return err
	}
	if ev.State != EventReceived {
		return nil
	}
	apps, err := s.Ledger.Concerned(ctx, ev.Published.Artifact)
	if err != nil {
		return err
	}
	c := Crossing{Event: ev}
	for _, app := range apps {
		for _, t := range app.concerned(ev.Published.Artifact) {
			o, err := s.judge(ctx, ev, app, t)
			if err != nil {
				return fmt.Errorf("judge event %d at %s/%s: %w", ev.ID, app.Name, t.Name, err)
			}
			c.Outcomes = append(c.Outcomes, o)
		}
	}
	c.Event.State = EventProcessed
	err = s.Ledger.Cross(ctx, c)
	if fault.Is(err, fault.Conflict) {
		return nil // another worker was first
	}
	return err
}

// judge is one event at one trigger.
func (s *Service) judge(ctx context.Context, ev Event, app Application, t Trigger) (Outcome, error) {
	claim := ev.Published.Artifact
	h := Handoff{
		Event: ev.ID, Application: app.Name, Trigger: t.Name, Image: claim, Delivery: app.Delivery,
		Chain: ev.Published.Chain, At: s.now(),
	}
	if claim.Tag == "" {
		return ignored(h, "the event names no tag"), nil
	}
	if ok, why := t.Match(claim.Tag); !ok {
		return ignored(h, why), nil
	}
	digest, err := s.Verifier.Evidence.Resolve(ctx, claim.WithTag(claim.Tag))
	switch {
	case fault.Is(err, fault.NotFound):
		return refused(h, fmt.Sprintf("the registry has no %s", claim.WithTag(claim.Tag))), nil
	case err != nil:
		return Outcome{}, err
	case digest != claim.Digest:
		return refused(h, fmt.Sprintf("the event says %s, but tag %s names %s", claim.Digest, claim.Tag, digest)), nil
	}
	h.Image.Digest = digest
	return s.admit(ctx, ev, app, t, h)
}

// admit judges an artifact whose digest is resolved: known already, or to be verified.
func (s *Service) admit(ctx context.Context, ev Event, app Application, t Trigger, h Handoff) (Outcome, error) {
	rule, _ := app.Artifact(t.Artifact)
	digest := h.Image.Digest
	id := ReleaseID(app.Name, map[string]artifact.Digest{rule.Name: digest})
	dup, named, err := s.Ledger.Accepted(ctx, app.Name, t.Name, id, h.Image.Tag)
	if err != nil {
		return Outcome{}, err
	}
	if dup.ID != 0 {
		h.Release = id
		return ignored(h, fmt.Sprintf("duplicate of %d", dup.ID)), nil
	}
	if named.ID != "" && named.ID != id {
		return refused(h, fmt.Sprintf("version %s of %s names %s already and names it for ever", h.Image.Tag, app.Name, named.Artifacts[rule.Name])), nil
	}
	v, err := s.Verifier.Verify(ctx, rule, digest, s.now())
	if err != nil {
		return Outcome{}, err
	}
	h.Trust = v.Trust
	if len(v.Refusals) > 0 {
		h.Refusals = v.Refusals
		return refused(h, Reasons(v.Refusals)), nil
	}
	r := release(app, rule, ev, digest, v, h.At)
	h.State, h.Release, h.Chain = Accepted, r.ID, r.Chain
	h.Reason = fmt.Sprintf("%d attestations verified", len(v.Evidence.Attestations))
	starts, err := s.Planner.Starts(ctx, r, t.Promote)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Handoff: h, Release: &r, Starts: starts}, nil
}

func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Millisecond) }

func ignored(h Handoff, why string) Outcome {
	h.State, h.Reason = Ignored, why
	return Outcome{Handoff: h}
}

func refused(h Handoff, why string) Outcome {
	h.State, h.Reason = Refused, why
	return Outcome{Handoff: h}
}

// Reasons is the refusals in one line.
func Reasons(list []attest.Refusal) string {
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = r.Message
	}
	return strings.Join(texts, "; ")
}
