package bridge

import (
	"context"
	"fmt"
	"strings"
	"time"

	"drawbridge/internal/attest"
)

// hearing is one event at one trigger while it is judged.
type hearing struct {
	ev  Event
	app Application
	t   Trigger
	h   Handoff
	now time.Time

	signed bool // git: a signer of the Policy stands behind the commit
}

// judge is the outcome of one event at one trigger, by what holds now. It has no effect
// beyond reading, except that files are wrapped as artifacts, which changes nothing twice.
func (s *Service) judge(ctx context.Context, ev Event, app Application, t Trigger) (Outcome, error) {
	in := s.hear(ev, app, t)
	pause, err := s.Ledger.Paused(ctx, app.Name, t.Name)
	if err != nil {
		return Outcome{}, err
	}
	if pause.By != "" {
		return in.ignore("paused by %s%s", pause.By, because(pause.Reason)), nil
	}
	switch t.On {
	case OnArtifact:
		return s.judgeArtifact(ctx, in)
	case OnRelease:
		return s.judgeRelease(ctx, in)
	case OnSchedule:
		return s.judgeSchedule(ctx, in)
	case OnWebhook, OnEvent:
		if len(t.Freeze) > 0 {
			return s.judgeFreeze(ctx, in)
		}
		return s.judgeNamed(ctx, in)
	case OnGit:
		return s.judgeGit(ctx, in)
	case OnManual:
		return in.ignore("people ask at this trigger: drawbridge promote"), nil
	}
	return in.ignore("a trigger on %q is not known", t.On), nil
}

// hear begins a hearing.
func (s *Service) hear(ev Event, app Application, t Trigger) hearing {
	now := s.now()
	return hearing{ev: ev, app: app, t: t, now: now, h: Handoff{
		Event: ev.ID, Application: app.Name, Trigger: t.Name, Delivery: app.Delivery, Chain: ev.Fact.Chain, At: now,
		Image: ev.Fact.Artifact,
	}}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// note keeps a question that was asked.
func (in *hearing) note(what string, ok bool, format string, args ...any) {
	in.h.Checks = append(in.h.Checks, Check{What: what, OK: ok, Found: fmt.Sprintf(format, args...)})
}

// ignore ends the hearing: there is nothing to do.
func (in hearing) ignore(format string, args ...any) Outcome {
	in.h.State, in.h.Reason = Ignored, fmt.Sprintf(format, args...)
	return Outcome{Handoff: in.h}
}

// refuse ends the hearing: something is not proven.
func (in hearing) refuse(format string, args ...any) Outcome {
	in.h.State, in.h.Reason = Refused, fmt.Sprintf(format, args...)
	return Outcome{Handoff: in.h}
}

// Bounds of how often a waiting handoff is looked at without a signal.
const (
	minLook = 2 * time.Second
	maxLook = 5 * time.Minute
)

// wait puts the hearing off until what it waits for is there, at most for limit after the
// event was received; then it is refused. It is looked at more and more rarely.
func (in hearing) wait(limit time.Duration, format string, args ...any) Outcome {
	why := fmt.Sprintf(format, args...)
	until := in.ev.Received.Add(limit)
	if !in.now.Before(until) {
		return in.refuse("%s, and did not come within %s", why, limit)
	}
	in.h.State, in.h.Reason, in.h.Until = Waiting, why, until
	look := in.now.Add(min(max(in.now.Sub(in.ev.Received)/2, minLook), maxLook))
	if look.After(until) {
		look = until
	}
	in.h.Look = look
	return Outcome{Handoff: in.h}
}

func (s *Service) ignored(h Handoff, why string) Outcome {
	h.State, h.Reason, h.At, h.Look, h.Until = Ignored, why, s.now(), time.Time{}, time.Time{}
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
