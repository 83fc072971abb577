package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

// gitea is what is read of a delivery of Gitea or Forgejo; their documents are the same.
// Documentation: https://docs.gitea.com/usage/webhooks and the structures hook*.go of
// modules/structs.
type gitea struct {
	Action  string `json:"action"`
	Ref     string `json:"ref"`
	RefType string `json:"ref_type"`
	After   string `json:"after"`
	Head    *struct {
		ID string `json:"id"`
	} `json:"head_commit"`
	Release    *release          `json:"release"`
	Package    *giteaPackage     `json:"package"`
	Repository *gitHubRepository `json:"repository"`
	Pusher     account           `json:"pusher"`
	Sender     account           `json:"sender"`
}

type giteaPackage struct {
	Owner   account `json:"owner"`
	Type    string  `json:"type"`
	Name    string  `json:"name"`
	Version string  `json:"version"`
	HTML    string  `json:"html_url"`
	Created stamp   `json:"created_at"`
}

// readGitea reads a delivery whose event stands in the first of the headers that is there.
func readGitea(headers ...string) func(Request, Options) ([]bridge.Fact, error) {
	return func(r Request, o Options) ([]bridge.Fact, error) {
		name := ""
		for _, h := range headers {
			if v, ok := one(r.Header, h); ok && name == "" {
				name = v
			}
		}
		switch name {
		case "":
			return nil, wrong(headers[0], "the header is missing")
		case "push", "create", "release", "package":
		default:
			return nil, nil
		}
		doc, err := decode[gitea](r.Body)
		if err != nil {
			return nil, err
		}
		return doc.read(name, o)
	}
}

func (d gitea) read(name string, o Options) ([]bridge.Fact, error) {
	f := bridge.Fact{Type: name, Actor: first(d.Sender.Login, d.Pusher.Login)}
	var place *bridge.GitRef
	if d.Repository != nil {
		f.Source, place = d.Repository.HTML, d.Repository.place()
	}
	switch name {
	case "push":
		commit := d.After
		if d.Head != nil && strings.HasPrefix(d.Ref, "refs/tags/") {
			commit = d.Head.ID // after is the tag object of an annotated tag
		}
		return moved(f, place, d.Ref, commit)
	case "create":
		if d.RefType != "tag" {
			return nil, nil // the push of a new branch comes as well
		}
		// sha is the tag object of an annotated tag, so the commit stays open
		return moved(f, place, "refs/tags/"+strings.TrimPrefix(d.Ref, "refs/tags/"), "")
	case "release":
		if d.Action != "published" && d.Action != "updated" {
			return nil, nil
		}
		return released(f, place, d.Release)
	}
	if d.Action != "created" {
		return nil, nil
	}
	return d.Package.read(f, place, o)
}

// read gives the fact about a package. The image of a container is HOST/OWNER/NAME, the host
// that of the package's page unless the receiver names another.
func (p *giteaPackage) read(f bridge.Fact, place *bridge.GitRef, o Options) ([]bridge.Fact, error) {
	if p == nil {
		return nil, wrong("package", "is missing")
	}
	f.At = p.Created.Time
	host := first(o.Host, hostOf(p.HTML))
	if p.Type != "container" {
		return packaged(f, newPackage(p.Type, host, p.Name, p.Version)), nil
	}
	if strings.HasPrefix(p.Version, "sha256:") {
		return nil, nil // pushed without a tag
	}
	if host == "" {
		return nil, wrong("package.html_url", "names no host").WithHint("set host of the receiver to the registry's address")
	}
	facts, err := published(f, host+"/"+strings.ToLower(p.Owner.Login+"/"+p.Name), p.Version, "")
	for i := range facts {
		facts[i].Git = place
	}
	return facts, err
}
