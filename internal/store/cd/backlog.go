package cd

import (
	"context"
	"fmt"

	"drawbridge/internal/store"
)

// Backlog is what the bridge has yet to deal with.
type Backlog struct {
	Received int64 // events that are not judged yet
	Dead     int64 // events that wait for a person
	Waiting  int64 // handoffs that wait for what belongs together, or for evidence
}

// Each count says what its index is made on, word for word: SQLite takes it only then.
const backlogSQL = `SELECT (SELECT count(*) FROM event WHERE state <> 'processed' AND state = 'received'),
	(SELECT count(*) FROM event WHERE state <> 'processed' AND state = 'dead'),
	(SELECT count(*) FROM handoff WHERE state = 'waiting')`

// Backlog counts it, by the indexes of what waits.
func (s *Store) Backlog(ctx context.Context) (Backlog, error) {
	var b Backlog
	err := s.db.Reader().QueryRowContext(ctx, backlogSQL).Scan(&b.Received, &b.Dead, &b.Waiting)
	if err != nil {
		return b, fmt.Errorf("count what waits: %w", store.Fault(err))
	}
	return b, nil
}
