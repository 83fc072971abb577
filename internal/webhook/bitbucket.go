package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

// bitbucket is what is read of a delivery of Bitbucket, of its cloud (event repo:push) or of
// a data center (repo:refs_changed). Documentation:
// https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/ and
// https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html.
type bitbucket struct {
	Date  stamp `json:"date"`
	Actor struct {
		Nickname string `json:"nickname"`
		Name     string `json:"name"`
		Display  string `json:"display_name"`
	} `json:"actor"`
	Repository struct {
		FullName string `json:"full_name"`
		Slug     string `json:"slug"`
		Project  struct {
			Key string `json:"key"`
		} `json:"project"`
		Links struct {
			HTML  link   `json:"html"`
			Clone []link `json:"clone"`
		} `json:"links"`
	} `json:"repository"`
	Push struct {
		Changes []cloudChange `json:"changes"`
	} `json:"push"`
	Changes []centerChange `json:"changes"`
}

type link struct {
	Href string `json:"href"`
}

// cloudChange is one ref that moved; Old or New is nil when it was made or deleted.
type cloudChange struct{ Old, New *cloudRef }

type cloudRef struct {
	Type   string `json:"type"` // branch, named_branch, tag, annotated_tag
	Name   string `json:"name"`
	Target struct {
		Hash string `json:"hash"`
	} `json:"target"`
}

type centerChange struct {
	Ref struct {
		ID string `json:"id"`
	} `json:"ref"`
	To string `json:"toHash"`
}

func readBitbucket(r Request, o Options) ([]bridge.Fact, error) {
	name, ok := one(r.Header, "X-Event-Key")
	if !ok {
		return nil, wrong("X-Event-Key", "the header is missing")
	}
	if name != "repo:push" && name != "repo:refs_changed" {
		return nil, nil
	}
	doc, err := decode[bitbucket](r.Body)
	if err != nil {
		return nil, err
	}
	f := bridge.Fact{
		Type: name, Source: doc.Repository.Links.HTML.Href, At: doc.Date.Time,
		Actor: first(doc.Actor.Nickname, doc.Actor.Name, doc.Actor.Display),
	}
	place := doc.place(o)
	var out []bridge.Fact
	for _, c := range doc.refs(name) {
		facts, err := moved(f, place, c.Ref, c.Commit)
		if err != nil {
			return nil, err
		}
		out = append(out, facts...)
	}
	return out, nil
}

// place is the repository's address. A data center does not always say its own, so the
// receiver's host is used.
func (d bitbucket) place(o Options) *bridge.GitRef {
	addresses := []string{}
	for _, l := range d.Repository.Links.Clone {
		addresses = append(addresses, l.Href)
	}
	addresses = append(addresses, d.Repository.Links.HTML.Href)
	if o.Host != "" && d.Repository.Slug != "" {
		addresses = append(addresses, "https://"+o.Host+"/scm/"+strings.ToLower(d.Repository.Project.Key)+"/"+d.Repository.Slug)
	}
	return gitPlace(addresses...)
}

func (d bitbucket) refs(name string) []bridge.GitRef {
	var out []bridge.GitRef
	if name == "repo:refs_changed" {
		for _, c := range d.Changes {
			out = append(out, bridge.GitRef{Ref: c.Ref.ID, Commit: c.To})
		}
		return out
	}
	for _, c := range d.Push.Changes {
		ref, commit := c.New, ""
		if ref == nil {
			ref, commit = c.Old, strings.Repeat("0", 40)
		}
		if ref == nil {
			continue
		}
		prefix := "refs/heads/"
		if strings.HasSuffix(ref.Type, "tag") {
			prefix = "refs/tags/"
		}
		out = append(out, bridge.GitRef{Ref: prefix + ref.Name, Commit: first(commit, ref.Target.Hash)})
	}
	return out
}
