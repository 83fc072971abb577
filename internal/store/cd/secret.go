package cd

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// PutReceiverSecret keeps a receiver's secret, which is sealed already: nothing in clear
// ever comes here. The one before stays valid until keepOld, or ends now when that is zero.
func (s *Store) PutReceiverSecret(ctx context.Context, actor, name string, sealed []byte, keepOld time.Time) error {
	if len(sealed) == 0 {
		return fault.New(fault.Invalid, "receiver %s has an empty secret", name).WithHint("give it one, or have one made")
	}
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		id, err := tx.Next(ctx, "receiver_secret")
		if err != nil {
			return err
		}
		now := store.Millis(s.db.Now())
		end := max(millis(keepOld), 1) // 1 is over
		if err := q.EndReceiverSecrets(ctx, sqlc.EndReceiverSecretsParams{UntilMs: end, Name: name}); err != nil {
			return fmt.Errorf("end the secrets of receiver %s: %w", name, err)
		}
		if err := q.DropReceiverSecrets(ctx, sqlc.DropReceiverSecretsParams{Name: name, NowMs: now}); err != nil {
			return fmt.Errorf("drop the ended secrets of receiver %s: %w", name, err)
		}
		err = q.InsertReceiverSecret(ctx, sqlc.InsertReceiverSecretParams{ID: id, Name: name, Sealed: sealed, MadeMs: now})
		if err != nil {
			return fmt.Errorf("insert the secret of receiver %s: %w", name, err)
		}
		a := entry(actor, "receiver.secret", "receiver/"+clip(name))
		if !keepOld.IsZero() {
			a.Detail = map[string]string{"old valid until": keepOld.UTC().Format(time.RFC3339)}
		}
		return tx.Record(ctx, a)
	})
}

// ReceiverSecrets returns the sealed secrets of a receiver that are valid now, the newest
// first; none for a receiver that has none or is not there.
func (s *Store) ReceiverSecrets(ctx context.Context, name string, now time.Time) ([][]byte, error) {
	list, err := s.read().ReceiverSecrets(ctx, sqlc.ReceiverSecretsParams{Name: name, NowMs: store.Millis(now)})
	return list, store.Fault(err)
}
