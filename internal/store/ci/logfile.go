package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// logPoll is how long Wait waits at most. Writers of this process wake it at once; the
// poll finds what another replica has written to a shared directory.
const logPoll = time.Second

// LogFiles keeps one append-only file per job in a directory. It is safe for concurrent
// use. It implements the CI plane's LogStore.
type LogFiles struct {
	dir   string
	mu    sync.Mutex
	files map[int64]*logFile
}

// logFile is a log that is being written or waited for.
type logFile struct {
	w     *os.File      // nil until the first Append
	woken chan struct{} // closed and replaced on every change
	users int           // of Wait
}

// OpenLogFiles returns the logs in dir, which is made (0700) when it is not there.
func OpenLogFiles(dir string) (*LogFiles, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of logs: %w", err)
	}
	return &LogFiles{dir: dir, files: map[int64]*logFile{}}, nil
}

// path spreads the files over directories of a thousand each.
func (l *LogFiles) path(job int64) string {
	return filepath.Join(l.dir, strconv.FormatInt(job/1000, 10), strconv.FormatInt(job, 10)+".log")
}

// file returns the entry of a job; the caller holds mu.
func (l *LogFiles) file(job int64) *logFile {
	f := l.files[job]
	if f == nil {
		f = &logFile{woken: make(chan struct{})}
		l.files[job] = f
	}
	return f
}

// Append writes p at the end of the job's file. The file is not synced: a log line may be
// lost with the machine, never with the process.
func (l *LogFiles) Append(_ context.Context, job int64, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.file(job)
	if f.w == nil {
		path := l.path(job)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("make the directory of a log: %w", err)
		}
		w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600) //nolint:gosec // the path is the directory and a number
		if err != nil {
			return fmt.Errorf("open a log: %w", err)
		}
		f.w = w
	}
	if _, err := f.w.Write(p); err != nil {
		return fmt.Errorf("write a log: %w", err)
	}
	f.wake()
	return nil
}

// Close closes the job's file and wakes who waits. A later Append opens it again.
func (l *LogFiles) Close(_ context.Context, job int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[job]
	if f == nil {
		return nil
	}
	f.wake()
	var err error
	if f.w != nil {
		err = f.w.Close()
		f.w = nil
	}
	l.drop(job, f)
	return err
}

// Open reads from offset to the end that the file has now.
func (l *LogFiles) Open(_ context.Context, job, offset int64) (io.ReadCloser, error) {
	f, err := os.Open(l.path(job))
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(io.MultiReader()), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open a log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read a log's size: %w", err), f.Close())
	}
	return section{io.NewSectionReader(f, offset, max(info.Size()-offset, 0)), f}, nil
}

// section is a part of a file that closes the file.
type section struct {
	io.Reader
	io.Closer
}

// Wait returns when the file is longer than offset, when something happens to it, or
// after a second.
func (l *LogFiles) Wait(ctx context.Context, job, offset int64) error {
	l.mu.Lock()
	f := l.file(job)
	f.users++
	woken := f.woken
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		f.users--
		l.drop(job, f)
		l.mu.Unlock()
	}()
	// The size is read after taking the channel: a write in between closes it.
	if info, err := os.Stat(l.path(job)); err == nil && info.Size() > offset {
		return nil
	}
	timer := time.NewTimer(logPoll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-woken:
	case <-timer.C:
	}
	return nil
}

func (f *logFile) wake() {
	close(f.woken)
	f.woken = make(chan struct{})
}

// drop forgets an entry that nobody writes or waits for; the caller holds mu.
func (l *LogFiles) drop(job int64, f *logFile) {
	if f.w == nil && f.users == 0 && l.files[job] == f {
		delete(l.files, job)
	}
}
