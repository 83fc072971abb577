package cd

import (
	"context"
	"errors"
	"fmt"
)

// Restore makes every environment be what the rows say that it should be: after the
// server has started anew, and again now and then, for what ended by itself. It goes on past
// an environment that cannot be restored and returns all that went wrong.
func (s *Service) Restore(ctx context.Context) error {
	rows, err := s.Store.Environments(ctx, "")
	if err != nil {
		return err
	}
	var wrong []error
	for _, row := range rows {
		if err := s.RestoreEnvironment(ctx, row); err != nil {
			wrong = append(wrong, fmt.Errorf("restore %s: %w", row.Ref, err))
		}
	}
	return errors.Join(wrong...)
}

// RestoreEnvironment is Restore for one environment. One that is there is left alone: what
// moves it is its promotion's own work.
func (s *Service) RestoreEnvironment(ctx context.Context, row EnvironmentRow) error {
	if row.Live == 0 && row.Active == 0 {
		return nil
	}
	a, err := s.Target.Observe(ctx, row.Ref)
	if err != nil || a.Address != "" {
		return err
	}
	id := row.Active
	if id == 0 {
		id = row.Live
	}
	p, err := s.Store.Promotion(ctx, id)
	if err != nil {
		return err
	}
	if row.Active == 0 {
		_, err = s.Target.Apply(ctx, Key{}, settled(row, &p, p.Plan.Listen))
		return err
	}
	in, err := s.input(ctx, p)
	if err != nil {
		return err
	}
	if !p.Deployed || p.State == Undoing {
		if in.base == nil {
			return nil // its own work brings the candidate up
		}
		_, err = s.Target.Apply(ctx, Key{}, settled(row, in.base, p.Plan.Listen))
		return err
	}
	_, err = s.Target.Apply(ctx, Key{}, desired(in, p.Weight))
	return err
}
