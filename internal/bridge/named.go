package bridge

import (
	"context"
	"fmt"
)

// judgeNamed hands over a release that crossed before and that an event names: a ticket, a
// change, a CloudEvent.
func (s *Service) judgeNamed(ctx context.Context, in hearing) (Outcome, error) {
	in.h.Once = fmt.Sprintf("event/%d", in.ev.ID)
	in.h.Actor = in.ev.Sender
	if o, done, err := s.condition(ctx, &in, nil); done || err != nil {
		return o, err
	}
	version, o, done, err := s.named(ctx, &in)
	if done || err != nil {
		return o, err
	}
	in.h.Version = version
	r, err := s.Ledger.ReleaseBy(ctx, in.app.Name, version)
	if err != nil {
		return Outcome{}, err
	}
	if r.ID == "" {
		in.note("release", false, "%s of %s has not crossed", version, in.app.Name)
		if in.t.Wait > 0 {
			return in.wait(in.t.Wait, "waits until version %s of %s crosses", version, in.app.Name), nil
		}
		return in.refuse("no version %s of %s has crossed", version, in.app.Name), nil
	}
	in.note("release", true, "%s@%s is %s", in.app.Name, r.Version, r.ID[:12])
	in.h.Chain = r.Chain
	return s.ask(ctx, in, r, false, fmt.Sprintf("%s names version %s", in.ev.Fact.Type, version))
}

// judgeSchedule hands over what another environment runs: what has soaked there.
func (s *Service) judgeSchedule(ctx context.Context, in hearing) (Outcome, error) {
	in.h.Once = fmt.Sprintf("event/%d", in.ev.ID)
	r, err := s.Ledger.Runs(ctx, in.app.Name, in.t.From)
	if err != nil {
		return Outcome{}, err
	}
	if r.ID == "" {
		return in.ignore("nothing runs in %s", in.t.From), nil
	}
	in.note("runs in "+in.t.From, true, "%s", r.Version)
	there, err := s.Ledger.Runs(ctx, in.app.Name, in.t.Promote)
	if err != nil {
		return Outcome{}, err
	}
	in.h.Version, in.h.Release, in.h.Chain = r.Version, r.ID, r.Chain
	if there.ID == r.ID {
		return in.ignore("nothing new: %s runs %s already", in.t.Promote, r.Version), nil
	}
	if there.ID != "" && Newer(there, r) {
		return in.ignore("nothing new: %s runs the newer %s", in.t.Promote, there.Version), nil
	}
	return s.ask(ctx, in, r, false, fmt.Sprintf("%s has proven %s", in.t.From, r.Version))
}
