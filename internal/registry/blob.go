package registry

import (
	"bytes"
	"net/http"
	"path"
	"time"

	"drawbridge/internal/artifact"
)

// getBlob answers a GET of a blob from the library's files. The library itself takes a
// buffer of 4 MiB for each, which is most of what a bundle of some KiB costs, and bundles
// are read by the dozen. It reports whether it has answered: what it does not find where
// the library keeps it, that repository's link to the blob included, is the library's to
// answer.
func (e *Embedded) getBlob(w http.ResponseWriter, r *http.Request, at place) bool {
	d, err := artifact.ParseDigest(at.reference)
	if err != nil || !e.linked(at.repository, d) {
		return false
	}
	f, err := e.files.Open(blobFile(d))
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", `"`+d.String()+`"`)
	h.Set("Cache-Control", "max-age=31536000") // content under its digest never changes
	http.ServeContent(w, r, "", time.Time{}, f)
	return true
}

// linked reports whether a repository holds a blob: blobs are kept once for all, and the
// link is what lets a repository's readers read one.
func (e *Embedded) linked(repository string, d artifact.Digest) bool {
	link, err := e.files.ReadFile(path.Join(libraryRoot, "repositories", repository, "_layers", "sha256", d.Hex(), "link"))
	return err == nil && string(bytes.TrimSpace(link)) == d.String()
}

// libraryRoot is where the library keeps everything, below Config.Dir.
const libraryRoot = "docker/registry/v2"

// blobFile is where the library keeps a blob's content.
func blobFile(d artifact.Digest) string {
	return path.Join(libraryRoot, "blobs", "sha256", d.Hex()[:2], d.Hex(), "data")
}
