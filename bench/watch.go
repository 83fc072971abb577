package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"drawbridge/internal/artifact"
)

// watcher tells when something is made in a directory: the kernel says so at once, and the
// server that is measured is asked nothing.
type watcher struct {
	file *os.File
	made chan made
}

type made struct {
	name string
	at   time.Time
}

func watch(dir string, now func() time.Time) (*watcher, error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), made: make(chan made, 1024)}
	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), w.file.Close())
	}
	go w.read(now)
	return w, nil
}

// read hands on what the kernel tells until close.
func (w *watcher) read(now func() time.Time) {
	defer close(w.made)
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		at := now()
		for rest := buf[:n]; len(rest) >= syscall.SizeofInotifyEvent; {
			length := int(binary.NativeEndian.Uint32(rest[12:]))
			name := rest[syscall.SizeofInotifyEvent : syscall.SizeofInotifyEvent+length]
			w.made <- made{string(bytes.TrimRight(name, "\x00")), at}
			rest = rest[syscall.SizeofInotifyEvent+length:]
		}
	}
}

// wait returns when something that is named after a digest was first made.
func (w *watcher) wait(ctx context.Context, d artifact.Digest) (time.Time, error) {
	const patience = 20 * time.Second
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case m, ok := <-w.made:
			if !ok {
				return time.Time{}, errors.New("the directory is not watched any more")
			}
			if strings.Contains(m.name, d.Hex()) {
				return m.at, nil
			}
		case <-late.C:
			return time.Time{}, fmt.Errorf("%s was not deployed within %s", d.Short(), patience)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func (w *watcher) close() { _ = w.file.Close() } // it was only read
