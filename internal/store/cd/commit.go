package cd

import (
	"context"
	"fmt"
	"strconv"

	"drawbridge/internal/audit"
	"drawbridge/internal/cd"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// Commit is cd.Writer's.
func (s *Store) Commit(ctx context.Context, c cd.Change) error {
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		if err := move(ctx, q, c); err != nil {
			return err
		}
		if err := s.decided(ctx, q, c); err != nil {
			return err
		}
		if err := s.place(ctx, q, c); err != nil {
			return err
		}
		if err := tx.Record(ctx, moved(c)); err != nil {
			return err
		}
		for _, p := range c.Opens {
			if _, _, err := s.open(ctx, tx, q, p); err != nil {
				return err
			}
		}
		return s.follow(ctx, tx, q, c)
	})
}

// move is the compare-and-set.
func move(ctx context.Context, q *sqlc.Queries, c cd.Change) error {
	p := c.Now
	n, err := q.MovePromotion(ctx, sqlc.MovePromotionParams{
		State: string(p.State), Signal: string(p.Signal), Reason: clip(p.Reason), Version: p.Version,
		Ended: bit(p.State.Ended()), Body: body(p), ID: int64(p.ID), Was: c.Was.Version,
	})
	if err != nil {
		return fmt.Errorf("move promotion %d: %w", p.ID, err)
	}
	return store.Swapped(n, "promotion", int64(p.ID))
}

func (s *Store) decided(ctx context.Context, q *sqlc.Queries, c cd.Change) error {
	if d := c.Decided; d != nil {
		err := q.InsertDecision(ctx, sqlc.InsertDecisionParams{
			Promotion: int64(c.Now.ID), Actor: d.Actor, Approve: bit(d.Approve), Plan: d.Plan.String(), Message: d.Message, AtMs: store.Millis(d.At),
		})
		if err != nil {
			return fmt.Errorf("keep the decision of %s: %w", d.Actor, err)
		}
	}
	if c.Bad {
		return s.markBad(ctx, q, c)
	}
	return nil
}

// markBad marks the release that is left: the promotion's own, or for a rollback that is
// done the one that it replaced.
func (s *Store) markBad(ctx context.Context, q *sqlc.Queries, c cd.Change) error {
	ref, release := c.Now.Environment(), c.Now.Plan.Release
	if c.Now.State == cd.Done {
		release = c.Now.Plan.Base
	}
	if release == "" {
		return nil
	}
	err := q.InsertBad(ctx, sqlc.InsertBadParams{
		Application: ref.Application, Environment: ref.Name, Release: release, Promotion: int64(c.Now.ID), AtMs: store.Millis(s.db.Now()),
	})
	if err != nil {
		return fmt.Errorf("mark release %s bad in %s: %w", release, ref, err)
	}
	return nil
}

// place keeps what the move means for the environment: who holds it, what runs there.
func (s *Store) place(ctx context.Context, q *sqlc.Queries, c cd.Change) error {
	ref, id := c.Now.Environment(), int64(c.Now.ID)
	if c.Address != "" {
		if err := q.SetAddress(ctx, sqlc.SetAddressParams{Address: c.Address, Application: ref.Application, Name: ref.Name}); err != nil {
			return wrongPlace(ref, err)
		}
	}
	if !c.Was.Holds() && c.Now.Holds() {
		n, err := q.TakeEnvironment(ctx, sqlc.TakeEnvironmentParams{Active: id, Application: ref.Application, Name: ref.Name})
		if err != nil {
			return wrongPlace(ref, err)
		}
		if err := store.Swapped(n, "environment of promotion", id); err != nil {
			return err
		}
	}
	if c.Was.Holds() && !c.Now.Holds() {
		n, err := q.FreeEnvironment(ctx, sqlc.FreeEnvironmentParams{Active: id, Application: ref.Application, Name: ref.Name})
		if err != nil {
			return wrongPlace(ref, err)
		}
		if err := store.Swapped(n, "environment of promotion", id); err != nil {
			return err
		}
	}
	if c.Now.State == cd.Done {
		if err := q.SetLive(ctx, sqlc.SetLiveParams{Live: id, Application: ref.Application, Name: ref.Name}); err != nil {
			return wrongPlace(ref, err)
		}
	}
	return nil
}

// follow enqueues what comes next: the promotion itself, its timer, and once it has ended
// those that it held up.
func (s *Store) follow(ctx context.Context, tx *store.Tx, q *sqlc.Queries, c cd.Change) error {
	t := task(c.Now.ID, c.Now.Version)
	if c.Next {
		if err := tx.Enqueue(ctx, t); err != nil {
			return err
		}
	}
	if !c.Wake.IsZero() {
		if err := tx.WakeAt(ctx, t, c.Wake); err != nil {
			return err
		}
	} else if err := tx.CancelWake(ctx, TaskPromotion, int64(c.Now.ID)); err != nil {
		return err
	}
	if c.Now.Signal == cd.SignalSlot {
		return s.slot(ctx, tx, q, t, c.Now.Environment())
	}
	if !c.Now.State.Ended() {
		return nil
	}
	rows, err := q.HeldUp(ctx, c.Now.Environment().Application)
	if err != nil {
		return fmt.Errorf("look for what promotion %d held up: %w", c.Now.ID, err)
	}
	for _, r := range rows {
		if r.ID == int64(c.Now.ID) {
			continue
		}
		if err := tx.Enqueue(ctx, task(cd.PromotionID(r.ID), r.Version)); err != nil {
			return err
		}
	}
	return nil
}

// slot enqueues t again when the environment has become free meanwhile. The row is locked,
// so that whoever frees it afterwards sees the one that waits.
func (s *Store) slot(ctx context.Context, tx *store.Tx, q *sqlc.Queries, t store.Task, ref cd.EnvironmentRef) error {
	active, err := q.LockEnvironment(ctx, sqlc.LockEnvironmentParams{Application: ref.Application, Name: ref.Name})
	if err != nil {
		return wrongPlace(ref, err)
	}
	if active == 0 {
		return tx.Enqueue(ctx, t)
	}
	return nil
}

// moved is the audit entry of a change.
func moved(c cd.Change) audit.Entry {
	p := c.Now
	e := entry(c.Actor, c.Action, subject(p.ID))
	e.Application, e.Environment, e.Chain = p.Environment().Application, p.Environment().Name, p.Chain
	e.Detail = map[string]string{
		"from": string(c.Was.State), "to": string(p.State), "key": c.Was.Key().String(),
		"reason": clip(p.Reason), "plan": p.PlanDigest.String(), "release": p.Plan.Release,
		"version": strconv.FormatInt(p.Version, 10),
	}
	if s := c.Was.Current(); s.Kind != "" && c.Was.State != cd.Queued {
		e.Detail["step"] = s.String()
	}
	if d := c.Decided; d != nil {
		e.Detail["message"] = clip(d.Message)
		e.Detail["seen"] = d.Plan.String()
	}
	return e
}
