package packages

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"drawbridge/internal/fault"
)

// query is one Find.
type query struct {
	f       *Fetcher
	spec    Spec
	base    *url.URL
	version string
}

func (q query) site() site { return q.f.site(originOf(q.base)) }

// at is an address below the base; each part is one segment of its path.
func (q query) at(parts ...string) string {
	var b strings.Builder
	b.WriteString(q.base.String())
	for _, p := range parts {
		b.WriteString("/" + url.PathEscape(p))
	}
	return b.String()
}

// githubHeader asks for the version of the API that this package reads: later ones do not
// carry bundles in the answer.
var githubHeader = http.Header{"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}}

// githubPage is how many assets or attestations one page of GitHub holds.
const githubPage = 100

// release is what the releases of GitHub, Gitea and GitLab have in common.
type release struct {
	ID       int64  `json:"id"`
	Tag      string `json:"tag_name"`
	Draft    bool   `json:"draft"`
	Upcoming bool   `json:"upcoming_release"`
}

// check refuses a release that is another one, or that is not out yet.
func (r release) check(q query) error {
	if r.Tag != q.version {
		return fault.New(fault.Unavailable, "%s answers with release %.50q instead of %s", q.base.Host, r.Tag, q.version)
	}
	if r.Draft || r.Upcoming {
		return fault.New(fault.Blocked, "release %s of %s is not published yet", q.version, q.spec.Name)
	}
	return nil
}

func (q query) github(ctx context.Context) ([]File, error) {
	owner, repository, _ := strings.Cut(q.spec.Name, "/")
	var r release
	if err := q.site().document(ctx, q.at("repos", owner, repository, "releases", "tags", q.version), githubHeader, &r); err != nil {
		return nil, fmt.Errorf("read release %s of %s: %w", q.version, q.spec.Name, err)
	}
	if err := r.check(q); err != nil {
		return nil, err
	}
	assets, err := q.githubAssets(ctx, owner, repository, r.ID)
	if err != nil {
		return nil, fmt.Errorf("read the files of release %s of %s: %w", q.version, q.spec.Name, err)
	}
	picked, err := q.pick(assets)
	for i := range picked {
		// Whatever digest the file will have: the attestations are asked for by it.
		picked[i].Attestations = append(picked[i].Attestations, Attestation{q.at("repos", owner, repository, "attestations"), FormGitHub})
	}
	return picked, err
}

// githubAssets reads every page of a release's assets.
func (q query) githubAssets(ctx context.Context, owner, repository string, id int64) ([]File, error) {
	var files []File
	for page := 1; len(files) <= MaxAssets; page++ {
		var assets []struct {
			ID     int64  `json:"id"`
			Name   string `json:"name"`
			Size   int64  `json:"size"`
			State  string `json:"state"`
			Digest string `json:"digest"` // "sha256:HEX"; none for assets from before it was kept
		}
		to := fmt.Sprintf("%s?per_page=%d&page=%d", q.at("repos", owner, repository, "releases", fmt.Sprint(id), "assets"), githubPage, page)
		if err := q.site().document(ctx, to, githubHeader, &assets); err != nil {
			return nil, err
		}
		for _, a := range assets {
			if a.State != "uploaded" {
				continue // an upload that was begun, and may never end
			}
			integrity, err := fromHex(a.Digest)
			if err != nil {
				return nil, err
			}
			files = append(files, File{
				Name: a.Name, Size: a.Size, Integrity: integrity, Origin: originOf(q.base),
				URL: q.at("repos", owner, repository, "releases", "assets", fmt.Sprint(a.ID)),
			})
		}
		if len(assets) < githubPage {
			break
		}
	}
	return files, nil
}
