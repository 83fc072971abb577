package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"drawbridge/internal/artifact"
)

const (
	pageSize  = 1000    // entries of one page of any listing
	pageBytes = 3 << 20 // of one page of referrers; clients read at most MaxManifest
)

const mediaTypeIndex = "application/vnd.oci.image.index.v1+json"

// descriptor is an OCI content descriptor.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	URLs         []string          `json:"urls,omitempty"`
}

// getReferrers answers the OCI 1.1 referrers API: an index of all manifests whose subject
// is the digest, filtered by ?artifactType=, in pages that a Link header connects.
func (e *Embedded) getReferrers(w http.ResponseWriter, r *http.Request, at place) error {
	subject, err := artifact.ParseDigest(at.reference)
	if err != nil {
		return &answer{http.StatusBadRequest, "DIGEST_INVALID", "referrers are listed by a sha256 digest"}
	}
	query := r.URL.Query()
	q := ReferrerQuery{Repository: at.repository, Subject: subject, ArtifactType: query.Get("artifactType"), Limit: pageSize}
	if last := query.Get("last"); last != "" {
		if q.After, err = artifact.ParseDigest(last); err != nil {
			return &answer{http.StatusBadRequest, "DIGEST_INVALID", "last must be the digest that the page before ended with"}
		}
	}
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n > 0 && n < pageSize {
		q.Limit = n
	}
	// One more than the page says whether there is another page.
	q.Limit++
	found, err := e.config.Rows.Referrers(r.Context(), q)
	if err != nil {
		return fmt.Errorf("list referrers of %s in %s: %w", subject, at.repository, err)
	}
	page, more, err := referrerPage(found, q.Limit-1)
	if err != nil {
		return err
	}
	if more {
		query.Set("last", page[len(page)-1].Digest)
		next := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
		w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
	}
	if q.ArtifactType != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", mediaTypeIndex)
	// The status is out; a client that has gone cannot be told more.
	_ = json.NewEncoder(w).Encode(map[string]any{"schemaVersion": 2, "mediaType": mediaTypeIndex, "manifests": page})
	return nil
}

// referrerPage cuts rows down to a page of at most n entries and pageBytes bytes, and says
// whether more follow. A page of a list that is not empty holds at least one entry.
func referrerPage(rows []Referrer, n int) (page []descriptor, more bool, err error) {
	page = []descriptor{}
	size := 0
	for _, row := range rows {
		d := descriptor{
			MediaType: row.MediaType, Digest: row.Manifest.String(), Size: row.Size,
			ArtifactType: row.ArtifactType, Annotations: row.Annotations,
		}
		b, err := json.Marshal(d)
		if err != nil {
			return nil, false, fmt.Errorf("write referrer %s: %w", row.Manifest, err)
		}
		if size += len(b) + 1; len(page) > 0 && (size > pageBytes || len(page) == n) {
			return page, true, nil
		}
		page = append(page, d)
	}
	return page, false, nil
}
