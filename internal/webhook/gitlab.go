package webhook

import (
	"drawbridge/internal/bridge"
)

// gitLab is what is read of a delivery of GitLab. Documentation:
// https://docs.gitlab.com/user/project/integrations/webhook_events/.
type gitLab struct {
	Kind     string `json:"object_kind"`
	Action   string `json:"action"` // of a release
	Ref      string `json:"ref"`
	After    string `json:"after"`
	Checkout string `json:"checkout_sha"` // the commit, also of an annotated tag; null when deleted
	Username string `json:"user_username"`
	Tag      string `json:"tag"`
	Released stamp  `json:"released_at"`
	Commit   struct {
		ID string `json:"id"`
	} `json:"commit"`
	Project struct {
		Web  string `json:"web_url"`
		HTTP string `json:"git_http_url"`
		SSH  string `json:"git_ssh_url"`
	} `json:"project"`
}

func readGitLab(r Request, _ Options) ([]bridge.Fact, error) {
	doc, err := decode[gitLab](r.Body)
	if err != nil {
		return nil, err
	}
	f := bridge.Fact{Type: doc.Kind, Source: doc.Project.Web, Actor: doc.Username}
	place := gitPlace(doc.Project.HTTP, doc.Project.Web, doc.Project.SSH)
	switch doc.Kind {
	case "":
		return nil, wrong("object_kind", "is missing")
	case "push", "tag_push":
		return moved(f, place, doc.Ref, first(doc.Checkout, doc.After))
	case "release":
		if doc.Action != "create" && doc.Action != "update" {
			return nil, nil
		}
		if doc.Tag == "" {
			return nil, wrong("tag", "is missing")
		}
		f.At = doc.Released.Time
		return moved(f, place, "refs/tags/"+doc.Tag, doc.Commit.ID)
	}
	return nil, nil
}
