package cd

import (
	"context"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// overdue is how long an event may wait before Sweep looks after it.
const overdue = 10 * time.Second

// Sweep brings back the tasks of events and promotions that should be moving and have
// none: those that were given up after many tries.
func (s *Store) Sweep(ctx context.Context) error {
	ids, err := s.Unprocessed(ctx, s.db.Now().Add(-overdue), pageMax)
	if err != nil {
		return err
	}
	tasks := make([]store.Task, 0, len(ids))
	for _, id := range ids {
		tasks = append(tasks, store.Task{Name: TaskEvent, ID: id})
	}
	for after := cd.PromotionID(0); ; {
		page, err := s.Moving(ctx, after, pageMax)
		if err != nil {
			return err
		}
		tasks = append(tasks, page...)
		if len(page) < pageMax {
			break
		}
		after = cd.PromotionID(page[len(page)-1].ID)
	}
	for _, t := range tasks {
		err := s.in(ctx, func(ctx context.Context, tx *store.Tx, _ *sqlc.Queries) error { return tx.Ensure(ctx, t) })
		if err != nil {
			return err
		}
	}
	return nil
}
