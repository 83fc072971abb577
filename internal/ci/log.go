package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// CopyLog writes a job's log from a byte offset on to w. With follow it goes on until the
// job has ended and all of its log is written, or until ctx ends. A reader that was cut
// off continues by the offset that it has reached: nothing is lost and nothing repeated.
func (s *Service) CopyLog(ctx context.Context, w io.Writer, job, offset int64, follow bool) error {
	for {
		// The state is read first: when the job has ended, all that it wrote is there.
		row, err := s.Store.Job(ctx, job)
		if err != nil {
			return err
		}
		n, err := s.copyLog(ctx, w, job, offset)
		if err != nil {
			return err
		}
		offset += n
		if !follow || row.State.Final() {
			return nil
		}
		if err := s.Logs.Wait(ctx, job, offset); err != nil {
			return err
		}
	}
}

func (s *Service) copyLog(ctx context.Context, w io.Writer, job, offset int64) (int64, error) {
	r, err := s.Logs.Open(ctx, job, offset)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, r)
	if err = errors.Join(err, r.Close()); err != nil {
		return n, fmt.Errorf("copy the log of job %d: %w", job, err)
	}
	return n, nil
}
