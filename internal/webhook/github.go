package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

// gitHubRepository is the repository object of GitHub, Gitea and Forgejo.
type gitHubRepository struct {
	FullName string `json:"full_name"`
	HTML     string `json:"html_url"`
	Clone    string `json:"clone_url"`
	SSH      string `json:"ssh_url"`
	Pushed   stamp  `json:"pushed_at"`
}

func (r gitHubRepository) place() *bridge.GitRef { return gitPlace(r.Clone, r.HTML, r.SSH) }

// account is a user of GitHub, Gitea or Forgejo.
type account struct {
	Login string `json:"login"`
	Name  string `json:"name"`
}

// release is the release object of GitHub, Gitea and Forgejo.
type release struct {
	Tag        string `json:"tag_name"`
	Draft      bool   `json:"draft"`
	Prerelease bool   `json:"prerelease"`
	Published  stamp  `json:"published_at"`
}

// gitHub is what is read of a delivery of GitHub. Documentation:
// https://docs.github.com/en/webhooks/webhook-events-and-payloads.
type gitHub struct {
	Action  string `json:"action"`
	Ref     string `json:"ref"`
	RefType string `json:"ref_type"`
	After   string `json:"after"`
	Head    *struct {
		ID string `json:"id"`
	} `json:"head_commit"`
	Release         *release          `json:"release"`
	Package         *gitHubPackage    `json:"package"`
	RegistryPackage *gitHubPackage    `json:"registry_package"`
	Repository      *gitHubRepository `json:"repository"`
	Pusher          account           `json:"pusher"`
	Sender          account           `json:"sender"`
}

func readGitHub(r Request, _ Options) ([]bridge.Fact, error) {
	name, ok := one(r.Header, "X-GitHub-Event")
	if !ok {
		return nil, wrong("X-GitHub-Event", "the header is missing")
	}
	switch name {
	case "push", "create", "release", "package", "registry_package":
	default:
		return nil, nil
	}
	doc, err := decode[gitHub](r.Body)
	if err != nil {
		return nil, err
	}
	f := bridge.Fact{Type: name, Actor: first(doc.Sender.Login, doc.Pusher.Name)}
	if doc.Repository == nil {
		doc.Repository = &gitHubRepository{}
	}
	f.Source = doc.Repository.HTML
	place := doc.Repository.place()
	switch name {
	case "push":
		f.At = doc.Repository.Pushed.Time
		commit := doc.After
		if doc.Head != nil && strings.HasPrefix(doc.Ref, "refs/tags/") {
			commit = doc.Head.ID // after is the tag object of an annotated tag
		}
		return moved(f, place, doc.Ref, commit)
	case "create":
		if doc.RefType != "tag" {
			return nil, nil // the push of a new branch comes as well
		}
		return moved(f, place, "refs/tags/"+doc.Ref, "")
	case "release":
		if doc.Action != "published" && doc.Action != "released" {
			return nil, nil
		}
		return released(f, place, doc.Release)
	}
	if doc.Package == nil {
		doc.Package = doc.RegistryPackage
	}
	return doc.Package.read(f, doc.Action, place)
}

// released is the fact that a Git host published a release.
func released(f bridge.Fact, place *bridge.GitRef, r *release) ([]bridge.Fact, error) {
	if r == nil || r.Tag == "" {
		return nil, wrong("release.tag_name", "is missing")
	}
	f.At = r.Published.Time
	facts, err := moved(f, place, "refs/tags/"+r.Tag, "")
	for i := range facts {
		facts[i].Git.Draft, facts[i].Git.Prerelease = r.Draft, r.Prerelease
	}
	return facts, err
}
