package registry

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// layer is a built layer, compressed, in a file that has no name any more: whatever
// becomes of the process, nothing is left behind.
type layer struct {
	file   *os.File
	size   int64           // compressed, bytes
	digest artifact.Digest // of the compressed layer
	diffID artifact.Digest // of the tar in it
}

func (l *layer) close() { _ = l.file.Close() } // only read from: nothing to lose

func (l *layer) body() body {
	return body{l.size, func() io.Reader { return io.NewSectionReader(l.file, 0, l.size) }}
}

// buildLayer makes a layer from a hostile tar stream. The caller closes it.
func buildLayer(ctx context.Context, temp string, content io.Reader, limits Limits) (_ *layer, err error) {
	spool, err := nameless(temp)
	if err != nil {
		return nil, err
	}
	defer func() { _ = spool.Close() }() // only a spool: nothing to lose
	t, err := readTree(ctx, content, spool, limits)
	if err != nil {
		return nil, err
	}
	file, err := nameless(temp)
	if err != nil {
		return nil, err
	}
	l := &layer{file: file}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if err := l.write(ctx, t, spool); err != nil {
		return nil, fmt.Errorf("write layer: %w", spoolError(err))
	}
	return l, nil
}

// write writes t's entries in the order of their names, all else than names, contents and
// the executable bit dropped.
func (l *layer) write(ctx context.Context, t *tree, spool io.ReaderAt) error {
	compressed, plain := sha256.New(), sha256.New()
	// Speed counts: a layer is written once per run, on the way of every commit.
	z, err := gzip.NewWriterLevel(io.MultiWriter(l.file, compressed), gzip.BestSpeed)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(io.MultiWriter(z, plain))
	first := t.firstNames()
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.write(archive, name, first, spool); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if l.size, err = l.file.Seek(0, io.SeekCurrent); err != nil {
		return err
	}
	l.diffID, err = artifact.ParseDigest("sha256:" + hex.EncodeToString(plain.Sum(nil)))
	if err != nil {
		return err
	}
	l.digest, err = artifact.ParseDigest("sha256:" + hex.EncodeToString(compressed.Sum(nil)))
	return err
}

// firstNames maps each file that has hard links to the first of its names: that one gets
// the content, so that the layer is the same whichever name the archive gave first.
func (t *tree) firstNames() map[string]string {
	first := map[string]string{}
	for name, e := range t.entries {
		if e.kind == tar.TypeLink {
			first[e.link] = min(name, e.link, orElse(first[e.link], name))
		}
	}
	return first
}

func orElse(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

// write writes one entry.
func (t *tree) write(archive *tar.Writer, name string, first map[string]string, spool io.ReaderAt) error {
	e := t.entries[name]
	file := name // the entry with the content
	if e.kind == tar.TypeLink {
		file = e.link
	}
	h := &tar.Header{Name: name, Typeflag: e.kind, Mode: 0o644, ModTime: time.Unix(0, 0)}
	switch e.kind {
	case tar.TypeDir:
		h.Name, h.Mode = name+"/", 0o755
	case tar.TypeSymlink:
		h.Linkname, h.Mode = e.link, 0o777
	default:
		content := t.entries[file]
		if content.executable {
			h.Mode = 0o755
		}
		if one, linked := first[file]; linked && one != name {
			h.Typeflag, h.Linkname = tar.TypeLink, one
			return archive.WriteHeader(h)
		}
		h.Typeflag, h.Size = tar.TypeReg, content.size
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(archive, io.NewSectionReader(spool, content.offset, content.size))
		return err
	}
	return archive.WriteHeader(h)
}

// nameless makes a temporary file and takes its name away at once.
func nameless(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "drawbridge-layer-")
	if err != nil {
		return nil, fmt.Errorf("make spool: %w", spoolError(err))
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("make spool: %w", err), f.Close())
	}
	return f, nil
}

// spoolError makes a full disk a fault that says so.
func spoolError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(fault.Full, err, "there is no room left to build the image").WithHint("make room in the temporary directory")
	}
	return err
}
