package packages

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// download asks for the bytes of a file, not for a description of it: GitHub has both at one address.
var download = http.Header{"Accept": {"application/octet-stream"}}

// Fetch writes a file into the directory dir under its own name, in place of one that stands
// there, and returns its path and the SHA-256 of its content. It appears there whole, and only
// if it is as long as its registry states and has the checksum: another one is a fault of kind
// Refused. It is not synced. The caller removes it.
func (f *Fetcher) Fetch(ctx context.Context, file File, dir string) (path string, digest artifact.Digest, err error) {
	if err := checkName(file.Name); err != nil {
		return "", artifact.Digest{}, err
	}
	ctx, cancel := f.bounded(ctx)
	defer cancel()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", artifact.Digest{}, fmt.Errorf("open the directory for files: %w", err)
	}
	defer root.Close() //nolint:errcheck // a directory that was only looked at
	temp := "fetch-" + rand.Text()
	to, err := root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", artifact.Digest{}, fmt.Errorf("make a file: %w", roomError(err))
	}
	digest, err = f.copy(ctx, file, to)
	if err = errors.Join(err, roomError(to.Close())); err == nil {
		err = root.Rename(temp, file.Name)
	}
	if err != nil {
		return "", artifact.Digest{}, fmt.Errorf("fetch %s: %w", file.Name, errors.Join(err, gone(root.Remove(temp))))
	}
	return filepath.Join(dir, file.Name), digest, nil
}

// copy writes what stands at the file's address to w, and judges it.
func (f *Fetcher) copy(ctx context.Context, file File, w io.Writer) (artifact.Digest, error) {
	stated, err := parseIntegrity(file.Integrity)
	if err != nil {
		return artifact.Digest{}, err
	}
	resp, err := f.site(file.Origin).get(ctx, http.MethodGet, file.URL, download)
	if err != nil {
		return artifact.Digest{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	if max(resp.ContentLength, file.Size) > f.config.MaxFile {
		return artifact.Digest{}, tooLarge(file.Name, f.config.MaxFile)
	}
	sum := sha256.New()
	judge := io.Discard
	var second hash.Hash
	if stated != nil {
		second = stated.make()
		judge = second
	}
	body := &body{from: io.LimitReader(resp.Body, f.config.MaxFile+1)}
	n, err := io.Copy(io.MultiWriter(w, sum, judge), body)
	switch {
	case body.err != nil:
		return artifact.Digest{}, unreachable(ctx, resp.Request.URL.Host, body.err)
	case err != nil:
		return artifact.Digest{}, fmt.Errorf("write the file: %w", roomError(err))
	case n > f.config.MaxFile:
		return artifact.Digest{}, tooLarge(file.Name, f.config.MaxFile)
	case file.Size > 0 && n != file.Size:
		return artifact.Digest{}, fault.New(fault.Refused, "%s has %d bytes, its registry states %d", file.Name, n, file.Size)
	case stated != nil && !stated.matches(second.Sum(nil)):
		return artifact.Digest{}, fault.New(fault.Refused, "%s has another %s than its registry states", file.Name, stated.name)
	}
	return artifact.ParseDigest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
}

// body tells an error of the reading side from one of the writing side.
type body struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func tooLarge(name string, limit int64) error {
	return fault.New(fault.TooLarge, "%.200s has more than %d bytes", name, limit)
}

// gone drops the error that says that a file is not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// roomError makes a full disk a fault that says so.
func roomError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Wrap(fault.Full, err, "there is no room left for the file").WithHint("make room in the temporary directory")
	}
	return err
}
