package packages

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// jsonHeader asks for JSON.
var jsonHeader = http.Header{"Accept": {"application/json"}}

// gitea reads a release of Gitea or Forgejo. They state no checksum of an asset.
func (q query) gitea(ctx context.Context) ([]File, error) {
	owner, repository, _ := strings.Cut(q.spec.Name, "/")
	var r struct {
		release
		Assets []struct {
			Name string `json:"name"`
			Size int64  `json:"size"`
			URL  string `json:"browser_download_url"`
		} `json:"assets"`
	}
	if err := q.site().document(ctx, q.at("api", "v1", "repos", owner, repository, "releases", "tags", q.version), jsonHeader, &r); err != nil {
		return nil, fmt.Errorf("read release %s of %s: %w", q.version, q.spec.Name, err)
	}
	if err := r.check(q); err != nil {
		return nil, err
	}
	files := make([]File, 0, len(r.Assets))
	for _, a := range r.Assets {
		files = append(files, File{Name: a.Name, Size: a.Size, URL: a.URL, Origin: originOf(q.base)})
	}
	return q.pick(files)
}

// gitlab reads the links of a release of GitLab, which may lead anywhere. It states neither
// their sizes nor their checksums.
func (q query) gitlab(ctx context.Context) ([]File, error) {
	var r struct {
		release
		Assets struct {
			Links []struct {
				Name string `json:"name"`
				URL  string `json:"url"`
			} `json:"links"`
		} `json:"assets"`
	}
	if err := q.site().document(ctx, q.at("api", "v4", "projects", q.spec.Name, "releases", q.version), jsonHeader, &r); err != nil {
		return nil, fmt.Errorf("read release %s of %s: %w", q.version, q.spec.Name, err)
	}
	if err := r.check(q); err != nil {
		return nil, err
	}
	files := make([]File, 0, len(r.Assets.Links))
	for _, l := range r.Assets.Links {
		files = append(files, File{Name: l.Name, URL: l.URL, Origin: originOf(q.base)})
	}
	return q.pick(files)
}
