package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"drawbridge/internal/ci"
	"drawbridge/internal/sandbox/wire"
)

// PutFile implements ci.Job. Links of the stream that lead outside, absolute ones among them,
// give a fault of kind Invalid, and so does a stream that is no tar; entries before are there then.
func (j *job) PutFile(ctx context.Context, path string, r io.Reader) error {
	if err := j.begin(ctx); err != nil {
		return err
	}
	defer j.end()
	theirs, ours, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("making a pipe: %w", err)
	}
	if err := j.cell.ask(wire.Request{Op: wire.Put, Path: path}, theirs); err != nil {
		return errors.Join(err, ours.Close())
	}
	_, err = io.Copy(ours, reader{ctx, r})
	if errors.Is(err, unix.EPIPE) {
		err = nil // it has stopped reading, and says why
	}
	err = errors.Join(err, ours.Close())
	refused := j.cell.answer()
	if err != nil {
		return fmt.Errorf("sending a tar stream to the sandbox: %w", err)
	}
	return refused
}

// reader reads until ctx ends.
type reader struct {
	ctx context.Context // of the one copy
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// GetFile implements ci.Job. A directory's stream names what is beneath it, in order, without the
// directory itself; a file's holds the file under its base name. Sockets, pipes and devices are
// left out. The other processes stand still, and other operations wait, until the stream is
// closed. A read fails when the stream could not be made to its end.
func (j *job) GetFile(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := j.begin(ctx); err != nil {
		return nil, err
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		j.end()
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	err = j.cell.ask(wire.Request{Op: wire.Get, Path: path}, theirs)
	if err == nil {
		if err = j.cell.answer(); err != nil && !errors.Is(err, ci.ErrGone) {
			_ = j.cell.answer() // the end, told once more
		}
	}
	if err != nil {
		err = errors.Join(err, ours.Close())
		j.end()
		return nil, err
	}
	return &stream{job: j, pipe: ours}, nil
}

// stream is a tar stream that is being made in the sandbox.
type stream struct {
	job  *job
	pipe *os.File
	once sync.Once
	err  error // how the making ended
}

// Read gives io.EOF only when the sandbox says that the stream is whole.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.pipe.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	s.finish()
	if s.err != nil {
		return n, s.err
	}
	return n, io.EOF
}

// Close lets the job's processes go on.
func (s *stream) Close() error {
	err := s.pipe.Close()
	s.finish()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// finish waits for the sandbox's last word and lets the next operation begin.
func (s *stream) finish() {
	s.once.Do(func() {
		s.err = s.job.cell.answer()
		s.job.end()
	})
}
