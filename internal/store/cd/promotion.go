package cd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

var (
	_ cd.Store     = (*Store)(nil)
	_ cd.Documents = (*Store)(nil)
)

// Promotion is cd.PromotionReader's.
func (s *Store) Promotion(ctx context.Context, id cd.PromotionID) (cd.Promotion, error) {
	row, err := s.read().Promotion(ctx, int64(id))
	if err != nil {
		return cd.Promotion{}, found(err, "drawbridge promotion list", "there is no promotion %d", id)
	}
	return promotion(ctx, s.read(), row)
}

// Promotions is cd.PromotionReader's.
func (s *Store) Promotions(ctx context.Context, f cd.PromotionFilter) ([]cd.Promotion, error) {
	rows, err := s.read().Promotions(ctx, sqlc.PromotionsParams{
		Before: before(int64(f.Before)), Application: f.Environment.Application, Environment: f.Environment.Name,
		Release: f.Release, State: string(f.State), Active: bit(f.Active), Page: page(f.Limit),
	})
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]cd.Promotion, 0, len(rows))
	for _, row := range rows {
		p, err := promotion(ctx, s.read(), sqlc.PromotionRow(row))
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// promotion reads a row with the decisions that belong to it.
func promotion(ctx context.Context, q *sqlc.Queries, row sqlc.PromotionRow) (cd.Promotion, error) {
	p, err := unmarshal[cd.Promotion](row.Body, "promotion")
	if err != nil {
		return p, err
	}
	if p.Plan, err = unmarshal[cd.Plan](row.Plan, "plan"); err != nil {
		return p, err
	}
	p.ID, p.State, p.Signal, p.Reason, p.Version = cd.PromotionID(row.ID), cd.State(row.State), cd.Signal(row.Signal), row.Reason, row.Version
	words, err := q.Decisions(ctx, row.ID)
	if err != nil {
		return p, store.Fault(err)
	}
	for _, w := range words {
		plan, err := artifact.ParseDigest(w.Plan)
		if err != nil {
			return p, fmt.Errorf("read a decision on promotion %d: %w", row.ID, err)
		}
		p.Decisions = append(p.Decisions, cd.Decision{Actor: w.Actor, Approve: w.Approve == 1, Plan: plan, Message: w.Message, At: store.Time(w.AtMs)})
	}
	return p, nil
}

// body is what of p has no column of its own.
func body(p cd.Promotion) string {
	p.Plan, p.Decisions = cd.Plan{}, nil
	return marshal(p)
}

func task(id cd.PromotionID, version int64) store.Task {
	return store.Task{Name: TaskPromotion, ID: int64(id), Version: version}
}

// Open is cd.Writer's.
func (s *Store) Open(ctx context.Context, list []cd.Promotion) ([]cd.Promotion, error) {
	var out []cd.Promotion
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		out = nil
		for _, p := range list {
			opened, ok, err := s.open(ctx, tx, q, p)
			if err != nil {
				return err
			}
			if ok {
				out = append(out, opened)
			}
		}
		return nil
	})
	return out, err
}

// open opens p, or adds its cause to the one that is on its way there; ok is false for an
// automatic cause that had its turn.
func (s *Store) open(ctx context.Context, tx *store.Tx, q *sqlc.Queries, p cd.Promotion) (opened cd.Promotion, ok bool, err error) {
	ref := p.Environment()
	row, err := q.ActivePromotion(ctx, sqlc.ActivePromotionParams{Application: ref.Application, Environment: ref.Name, Release: p.Plan.Release})
	if err == nil {
		joined, err := join(ctx, tx, q, sqlc.PromotionRow(row), p)
		return joined, err == nil, err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return p, false, wrongPlace(ref, err)
	}
	first := p.Causes[0]
	auto := first.Kind == cd.CauseAuto && first.Again == 0
	if auto {
		n, err := q.CountAuto(ctx, sqlc.CountAutoParams{Application: ref.Application, Environment: ref.Name, Release: p.Plan.Release})
		if err != nil || n > 0 {
			return p, false, err
		}
	}
	id, err := tx.Next(ctx, "promotion")
	if err != nil {
		return p, false, err
	}
	p.ID = cd.PromotionID(id)
	n, err := q.InsertPromotion(ctx, sqlc.InsertPromotionParams{
		ID: id, Application: ref.Application, Environment: ref.Name, Release: p.Plan.Release, State: string(p.State),
		Signal: string(p.Signal), Reason: p.Reason, Version: p.Version, Auto: bit(auto), Plan: marshal(p.Plan), Body: body(p),
	})
	if err != nil {
		return p, false, fmt.Errorf("insert promotion %d: %w", id, err)
	}
	if n == 0 {
		return p, false, fault.New(fault.Conflict, "another promotion of %s to %s was opened meanwhile", p.Plan.Version, ref).WithHint("look at it again, then repeat")
	}
	a := entry(orDrawbridge(first.Actor), "promotion.open", subject(p.ID))
	a.Application, a.Environment, a.Chain = ref.Application, ref.Name, p.Chain
	a.Detail = map[string]string{"release": p.Plan.Release, "version": p.Plan.Version, "plan": p.PlanDigest.String(), "cause": string(first.Kind), "note": clip(first.Note)}
	if err := tx.Record(ctx, a); err != nil {
		return p, false, err
	}
	return p, true, tx.Enqueue(ctx, task(p.ID, p.Version))
}

func join(ctx context.Context, tx *store.Tx, q *sqlc.Queries, row sqlc.PromotionRow, p cd.Promotion) (cd.Promotion, error) {
	there, err := promotion(ctx, q, row)
	if err != nil {
		return there, err
	}
	cause := p.Causes[0]
	if slices.ContainsFunc(there.Causes, func(c cd.Cause) bool { return c.Kind == cause.Kind && c.Actor == cause.Actor && c.Note == cause.Note }) {
		return there, nil
	}
	there.Causes = append(there.Causes, cause)
	n, err := q.ReplaceBody(ctx, sqlc.ReplaceBodyParams{Body: body(there), ID: row.ID, Version: row.Version})
	if err != nil {
		return there, fmt.Errorf("join promotion %d: %w", row.ID, err)
	}
	if err := store.Swapped(n, "promotion", row.ID); err != nil {
		return there, err
	}
	a := entry(orDrawbridge(cause.Actor), "promotion.join", subject(there.ID))
	a.Application, a.Environment, a.Chain = there.Environment().Application, there.Environment().Name, there.Chain
	a.Detail = map[string]string{"cause": string(cause.Kind), "note": clip(cause.Note)}
	if err := tx.Record(ctx, a); err != nil || cause.Kind != cd.CauseRollback {
		return there, err
	}
	return there, tx.Enqueue(ctx, task(there.ID, there.Version)) // no freeze keeps it any more
}

// Note is cd.Writer's.
func (s *Store) Note(ctx context.Context, p cd.Promotion, reason string, wake time.Time) error {
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		n, err := q.NotePromotion(ctx, sqlc.NotePromotionParams{Reason: clip(reason), ID: int64(p.ID), Version: p.Version})
		if err != nil || n == 0 || wake.IsZero() {
			return err
		}
		return tx.WakeAt(ctx, task(p.ID, p.Version), wake)
	})
}

// Moving lists the promotions that have not ended, for the sweep that brings lost work back.
func (s *Store) Moving(ctx context.Context, after cd.PromotionID, limit int) ([]store.Task, error) {
	rows, err := s.read().ActiveIDs(ctx, sqlc.ActiveIDsParams{After: int64(after), Page: page(limit)})
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]store.Task, 0, len(rows))
	for _, r := range rows {
		out = append(out, task(cd.PromotionID(r.ID), r.Version))
	}
	return out, nil
}

func subject(id cd.PromotionID) string { return "promotion/" + strconv.FormatInt(int64(id), 10) }

func orDrawbridge(actor string) string {
	if actor == "" {
		return "drawbridge"
	}
	return actor
}
