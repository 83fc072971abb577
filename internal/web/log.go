package web

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// log streams what the jobs of a run have written. Several jobs follow each other, each
// behind a line with its key; offset counts the bytes of the whole.
func (h runHandlers) log(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	offset, err := number(r, "offset")
	if err != nil {
		return err
	}
	follow, err := flag(r, "follow")
	if err != nil {
		return err
	}
	jobs, err := h.jobs(r, id)
	if err != nil {
		return err
	}
	ctx, cancel := untilStop(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := newFlow(w)
	if follow { // the client sees that it is heard, however long the job is silent
		if err := out.c.Flush(); err != nil {
			return nil // a client that went away is nobody's fault
		}
	}
	if len(jobs) == 1 {
		return h.end(ctx, h.service.CopyLog(ctx, out, jobs[0].ID, offset, follow))
	}
	rest := &skip{w: out, left: offset}
	for _, j := range jobs {
		if _, err := io.WriteString(rest, "==> "+j.Key+" <==\n"); err != nil {
			return nil // a client that went away is nobody's fault
		}
		if err := h.service.CopyLog(ctx, rest, j.ID, 0, follow); err != nil {
			return h.end(ctx, err)
		}
	}
	return nil
}

// end tells a server that stops from what else can end a log before its time.
func (h runHandlers) end(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fault.New(fault.Unavailable, "the server stops").WithHint("follow again from the last offset")
	}
	return err
}

// jobs are the jobs of a run that a request names: all, or one by its key or number.
func (h runHandlers) jobs(r *http.Request, run int64) ([]ci.RunJob, error) {
	if _, err := h.store.Run(r.Context(), run); err != nil {
		return nil, err
	}
	jobs, err := h.store.Jobs(r.Context(), run)
	want := r.URL.Query().Get("job")
	if err != nil || want == "" {
		return jobs, err
	}
	for _, j := range jobs {
		if j.Key == want || itoa(j.ID) == want {
			return []ci.RunJob{j}, nil
		}
	}
	return nil, fault.New(fault.NotFound, "run %d has no job %.80q", run, want).WithField("job").
		WithHint("its jobs are %s", strings.Join(each(jobs, func(j ci.RunJob) string { return j.Key }), ", "))
}

// untilStop is ctx until the server stops.
func untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop, ok := ctx.Value(stopKey).(chan struct{})
	if !ok {
		return ctx, cancel
	}
	go func() { // ends with ctx, which every caller cancels
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// flow writes an answer that may take longer than a request: each write has a time limit
// of its own and goes out at once.
type flow struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func newFlow(w http.ResponseWriter) flow {
	f := flow{w, http.NewResponseController(w)}
	_ = f.c.SetReadDeadline(time.Time{}) // not every test's writer has deadlines
	return f
}

// Write sends b.
func (f flow) Write(b []byte) (int, error) {
	_ = f.c.SetWriteDeadline(time.Now().Add(streamTime))
	n, err := f.w.Write(b)
	if err == nil {
		err = f.c.Flush()
	}
	return n, err
}

// skip leaves out the first bytes.
type skip struct {
	w    io.Writer
	left int64
}

// Write sends what of b lies beyond those bytes.
func (s *skip) Write(b []byte) (int, error) {
	cut := min(s.left, int64(len(b)))
	s.left -= cut
	if cut == int64(len(b)) {
		return len(b), nil
	}
	n, err := s.w.Write(b[cut:])
	return n + int(cut), err
}
