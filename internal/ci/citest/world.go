package citest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// Source is Git repositories as maps: repository, commit, path to content.
type Source struct {
	Repositories map[string]map[string]map[string]string
	At           time.Time // time of every commit
}

func (s *Source) tree(repository, commit string) (map[string]string, error) {
	tree, ok := s.Repositories[repository][commit]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no commit %s in %s", commit, repository)
	}
	return tree, nil
}

// Archive implements ci.Source.
func (s *Source) Archive(_ context.Context, repository, commit string, w io.Writer) error {
	tree, err := s.tree(repository, commit)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: 0o644, Size: int64(len(tree[path])), ModTime: s.At}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(t, tree[path]); err != nil {
			return err
		}
	}
	return t.Close()
}

// File implements ci.Source.
func (s *Source) File(_ context.Context, repository, commit, path string) ([]byte, error) {
	tree, err := s.tree(repository, commit)
	if err != nil {
		return nil, err
	}
	text, ok := tree[path]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no %s", path)
	}
	return []byte(text), nil
}

// Workflows implements ci.Source.
func (s *Source) Workflows(_ context.Context, repository, commit string) ([]string, error) {
	tree, err := s.tree(repository, commit)
	var files []string
	for path := range tree {
		if ok := len(path) > 22 && path[:22] == ".drawbridge/workflows/"; ok {
			files = append(files, path)
		}
	}
	slices.Sort(files)
	return files, err
}

// Registry is artifacts in memory. It is safe for concurrent use.
type Registry struct {
	mu       sync.Mutex
	images   map[string]map[string]string // digest: path to content
	Attached []ci.Bundle                  // each once, in order
	Tags     map[string]artifact.Digest   // "shop/web:1.0.0"
	Effects  []string                     // what changed something, in order

	// After, when set, is called after each effect; its error is returned although the
	// effect has taken place, as when the server dies.
	After func(effect string) error
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry {
	return &Registry{images: map[string]map[string]string{}, Tags: map[string]artifact.Digest{}}
}

func (r *Registry) effect(name string) error {
	r.Effects = append(r.Effects, name)
	if r.After == nil {
		return nil
	}
	return r.After(name)
}

// Image returns the files of a pushed image.
func (r *Registry) Image(d artifact.Digest) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.images[d.String()]
}

// Push implements ci.Publisher.
func (r *Registry) Push(_ context.Context, name artifact.Reference, content io.Reader, image ci.Image) (artifact.Digest, error) {
	files := map[string]string{}
	t := tar.NewReader(content)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return artifact.Digest{}, err
		}
		body, err := io.ReadAll(t)
		if err != nil {
			return artifact.Digest{}, err
		}
		if h.Typeflag == tar.TypeReg {
			files[h.Name] = string(body)
		}
	}
	var text strings.Builder
	for _, m := range []map[string]string{files, image.Labels} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			text.WriteString(k + "\x00" + m[k] + "\x00")
		}
	}
	for _, s := range append(slices.Clone(image.Entrypoint), image.Env...) {
		text.WriteString(s + "\x00")
	}
	d := artifact.DigestOf([]byte(text.String()))
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.images[d.String()]; ok {
		return d, nil
	}
	r.images[d.String()] = files
	return d, r.effect("push " + name.Name())
}

// Attach implements ci.Publisher.
func (r *Registry) Attach(_ context.Context, b ci.Bundle) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.Attached {
		if a.Artifact == b.Artifact && string(a.Body) == string(b.Body) {
			return nil
		}
	}
	r.Attached = append(r.Attached, b)
	return r.effect("attach " + b.Predicate)
}

// Tag implements ci.Publisher.
func (r *Registry) Tag(_ context.Context, ref artifact.Reference, tag string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := ref.Name() + ":" + tag
	switch old, ok := r.Tags[key]; {
	case ok && old != ref.Digest:
		return fault.New(fault.Conflict, "tag %s names %s already", key, old)
	case ok:
		return nil
	}
	r.Tags[key] = ref.Digest
	return r.effect("tag " + key)
}

// Resolve implements ci.Resolver.
func (r *Registry) Resolve(_ context.Context, ref artifact.Reference) (artifact.Digest, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d, ok := r.Tags[ref.Name()+":"+ref.Tag]; ok {
		return d, nil
	}
	return artifact.Digest{}, fault.New(fault.NotFound, "there is no %s", ref)
}

// Poster collects what is posted.
type Poster struct {
	mu     sync.Mutex
	Bodies [][]byte // of artifacts that were published
	Moves  [][]byte // of refs that moved
	Err    error    // given instead of an acknowledgement
}

// Post implements ci.Poster.
func (p *Poster) Post(_ context.Context, body []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Err != nil {
		return p.Err
	}
	if bytes.Contains(body, []byte(bridge.MovedType)) {
		p.Moves = append(p.Moves, body)
		return nil
	}
	p.Bodies = append(p.Bodies, body)
	return nil
}

// Logs keeps logs in memory. It is safe for concurrent use.
type Logs struct {
	mu    sync.Mutex
	text  map[int64][]byte
	woken chan struct{}
}

// NewLogs returns an empty Logs.
func NewLogs() *Logs { return &Logs{text: map[int64][]byte{}, woken: make(chan struct{})} }

// Text is the whole log of a job.
func (l *Logs) Text(job int64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[job])
}

// Append implements ci.LogWriter.
func (l *Logs) Append(_ context.Context, job int64, p []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text[job] = append(l.text[job], p...)
	l.wake()
	return nil
}

// Close implements ci.LogWriter.
func (l *Logs) Close(context.Context, int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake()
	return nil
}

func (l *Logs) wake() {
	close(l.woken)
	l.woken = make(chan struct{})
}

// Open implements ci.LogReader.
func (l *Logs) Open(_ context.Context, job, offset int64) (io.ReadCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text[job]
	return io.NopCloser(bytes.NewReader(slices.Clone(text[min(int(offset), len(text)):]))), nil
}

// Wait implements ci.LogReader.
func (l *Logs) Wait(ctx context.Context, job, offset int64) error {
	l.mu.Lock()
	woken, more := l.woken, int64(len(l.text[job])) > offset
	l.mu.Unlock()
	if more {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-woken:
		return nil
	}
}
