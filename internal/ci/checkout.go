package ci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// checkout performs actions/checkout: the files of the commit, without a .git directory.
func (a *attempt) checkout(ctx context.Context) (stepEnd, error) {
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := a.s.Source.Archive(ctx, a.runs.Repository, a.runs.Commit, pw)
		_ = pw.CloseWithError(err) // never fails; nil means the end
		done <- err
	}()
	put := a.open.PutFile(ctx, ".", pr)
	_ = pr.CloseWithError(errStopped) // never fails; ends the archive when PutFile gave up
	archive := <-done
	if archive != nil && !errors.Is(archive, errStopped) {
		return failedBy(fmt.Errorf("read commit %s: %w", a.runs.Commit, archive))
	}
	if put != nil {
		return failedBy(fmt.Errorf("unpack commit %s: %w", a.runs.Commit, put))
	}
	a.log.line([]byte("commit " + a.runs.Commit + " of " + a.runs.Repository))
	return stepEnd{state: StepSucceeded, outputs: map[string]string{"ref": a.runs.Ref, "commit": a.runs.Commit}}, nil
}

// errStopped stops an archive of which enough was read.
var errStopped = errors.New("enough was read")

// head keeps the first bytes of what is written to it, then stops the writer.
type head struct {
	bytes.Buffer
	max int
}

func (h *head) Write(p []byte) (int, error) {
	n, _ := h.Buffer.Write(p[:min(len(p), h.max-h.Len())])
	if n < len(p) {
		return n, errStopped
	}
	return n, nil
}

// commitTime is when the commit was made: the time of the files in its archive. It is zero
// for a commit without files.
func commitTime(ctx context.Context, s Source, repository, commit string) (time.Time, error) {
	h := head{max: 64 << 10}
	if err := s.Archive(ctx, repository, commit, &h); err != nil && h.Len() < h.max {
		return time.Time{}, fmt.Errorf("read the time of commit %s: %w", commit, err)
	}
	t := tar.NewReader(&h.Buffer)
	for {
		e, err := t.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return time.Time{}, nil
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("read the archive of commit %s: %w", commit, err)
		}
		if e.Typeflag != tar.TypeXGlobalHeader {
			return millis(e.ModTime), nil
		}
	}
}
