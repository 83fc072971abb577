package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// Names below the directory of unpacked images.
const (
	unfinished = ".tmp"       // ends the name of a directory that is being filled
	rootName   = "root"       // the unpacked files
	infoName   = "image.json" // what an image says of itself
)

// unpacker keeps unpacked images, one directory for each digest: sha256-HEX/root and
// sha256-HEX/image.json. A directory of that name is complete.
type unpacker struct {
	dir    string
	images Images
	limits Limits

	mu   sync.Mutex
	busy map[artifact.Digest]chan struct{} // holds one token while a digest is being unpacked
}

func newUnpacker(c Config) (*unpacker, error) {
	u := &unpacker{
		dir: filepath.Join(c.Dir, "unpacked"), images: c.Images, limits: c.Limits,
		busy: map[artifact.Digest]chan struct{}{},
	}
	if !filepath.IsAbs(u.dir) {
		return nil, fmt.Errorf("%q is no absolute path", c.Dir)
	}
	if err := os.MkdirAll(u.dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(u.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), unfinished) {
			if err := os.RemoveAll(filepath.Join(u.dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return u, nil
}

// ensure unpacks the image that ref names by digest, unless it is there already. Nothing
// of an image that fails stays.
func (u *unpacker) ensure(ctx context.Context, ref artifact.Reference) (*image, error) {
	unlock, err := u.lock(ctx, ref.Digest)
	if err != nil {
		return nil, err
	}
	defer unlock()
	final := filepath.Join(u.dir, "sha256-"+ref.Digest.Hex())
	if img, err := load(final); err == nil {
		return img, nil
	}
	tmp := final + unfinished
	for _, leftover := range []string{final, tmp} {
		if err := os.RemoveAll(leftover); err != nil {
			return nil, fmt.Errorf("remove an unfinished image: %w", err)
		}
	}
	if err := u.fill(ctx, tmp, ref); err != nil {
		_ = os.RemoveAll(tmp) // what stays is removed at the next try
		return nil, err
	}
	if err := os.Rename(tmp, final); err != nil {
		return nil, fmt.Errorf("finish the unpacked image %s: %w", ref.Digest.Short(), err)
	}
	return load(final)
}

func (u *unpacker) lock(ctx context.Context, d artifact.Digest) (unlock func(), err error) {
	u.mu.Lock()
	busy := u.busy[d]
	if busy == nil {
		busy = make(chan struct{}, 1)
		u.busy[d] = busy
	}
	u.mu.Unlock()
	select {
	case busy <- struct{}{}:
		return func() { <-busy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// load reads an image that is unpacked.
func load(dir string) (*image, error) {
	body, err := os.ReadFile(filepath.Join(dir, infoName)) //nolint:gosec // our own directory
	if err != nil {
		return nil, fmt.Errorf("read an unpacked image: %w", err)
	}
	img := &image{Root: filepath.Join(dir, rootName)}
	if err := json.Unmarshal(body, img); err != nil {
		return nil, fmt.Errorf("read an unpacked image: %w", err)
	}
	return img, nil
}

// fill unpacks the image into the new directory dir.
func (u *unpacker) fill(ctx context.Context, dir string, ref artifact.Reference) error {
	s := &source{images: u.images, ref: ref}
	m, err := s.manifest(ctx)
	if err != nil {
		return err
	}
	c, err := s.config(ctx, m.Config)
	if err != nil {
		return err
	}
	t, err := newTree(filepath.Join(dir, rootName), u.limits)
	if err != nil {
		return err
	}
	defer t.close()
	for _, d := range m.Layers {
		if err := u.layer(ctx, s, t, d); err != nil {
			return err
		}
	}
	if err := t.finish(); err != nil {
		return s.layerFault(err)
	}
	if t.written > syncEach {
		if err := flush(dir); err != nil {
			return fmt.Errorf("write the unpacked image %s: %w", ref.Digest.Short(), err)
		}
	}
	info, err := json.Marshal(image{Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd, Env: c.Config.Env, WorkingDir: path.Join("/", c.Config.WorkingDir)})
	if err != nil {
		return fmt.Errorf("write what the image says: %w", err)
	}
	if err := writeDurably(filepath.Join(dir, infoName), info); err != nil {
		return fmt.Errorf("write what the image says: %w", err)
	}
	return nil
}

func (u *unpacker) layer(ctx context.Context, s *source, t *tree, d descriptor) error {
	if !strings.Contains(d.MediaType, "tar") {
		return s.refused("a layer of type %q is no tar archive", d.MediaType)
	}
	return s.blob(ctx, d, func(r io.Reader) error {
		return s.layerFault(t.layer(ctx, r))
	})
}

// layerFault names the image in what is wrong with a layer.
func (s *source) layerFault(err error) error {
	if f := fault.As(err); f != nil {
		return fault.Wrap(f.Kind, err, "the image %s cannot be unpacked: %s", s.ref, f.Message)
	}
	if err != nil {
		return fmt.Errorf("unpack %s: %w", s.ref, err)
	}
	return nil
}

// flush makes everything on dir's file system durable.
func flush(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(d.Fd()))
	return errors.Join(err, d.Close())
}

// writeDurably writes a new file and returns once it is on the disk.
func writeDurably(name string, body []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	return errors.Join(err, f.Sync(), f.Close())
}

// sum is a running SHA-256.
type sum struct{ hash.Hash }

func newSum() sum { return sum{sha256.New()} }

func (s sum) digest() string { return "sha256:" + hex.EncodeToString(s.Sum(nil)) }

// countingReader counts what was read and keeps the error that ended it before the end.
type countingReader struct {
	r   io.Reader
	n   int64
	err error
}

// Read implements io.Reader.
func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
