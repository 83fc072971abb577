package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

// dockerHub is what is read of a delivery of Docker Hub, which only tells of pushes.
// Documentation: https://docs.docker.com/docker-hub/repos/manage/webhooks/.
type dockerHub struct {
	Push struct {
		Tag    string `json:"tag"`
		Pusher string `json:"pusher"`
		At     stamp  `json:"pushed_at"`
	} `json:"push_data"`
	Repository struct {
		Name string `json:"repo_name"` // "acme/web", of an official image "nginx"
		URL  string `json:"repo_url"`
	} `json:"repository"`
}

func readDockerHub(r Request, _ Options) ([]bridge.Fact, error) {
	doc, err := decode[dockerHub](r.Body)
	if err != nil {
		return nil, err
	}
	name := doc.Repository.Name
	if name == "" {
		return nil, wrong("repository.repo_name", "is missing")
	}
	if !strings.Contains(name, "/") {
		name = "library/" + name
	}
	f := bridge.Fact{Type: "push", Source: doc.Repository.URL, Actor: doc.Push.Pusher, At: doc.Push.At.Time}
	return published(f, "docker.io/"+name, doc.Push.Tag, "")
}

// quay is what is read of a delivery "push to repository" of Quay. Documentation:
// https://docs.quay.io/guides/notifications.html.
type quay struct {
	URL  string   `json:"docker_url"` // "quay.io/acme/web"
	Home string   `json:"homepage"`
	Tags quayTags `json:"updated_tags"`
}

// quayTags are tags as a list; older servers write an object from tag to image id.
type quayTags []string

// UnmarshalJSON reads both forms.
func (q *quayTags) UnmarshalJSON(b []byte) error {
	list, err := decode[[]string](b)
	if err == nil {
		*q = list
		return nil
	}
	object, err := decode[map[string]any](b)
	*q = sortedKeys(object)
	return err
}

func readQuay(r Request, o Options) ([]bridge.Fact, error) {
	doc, err := decode[quay](r.Body)
	if err != nil {
		return nil, err
	}
	if len(doc.Tags) == 0 {
		return nil, nil // a build, a scan, or a push without a tag
	}
	name := doc.URL
	if _, rest, ok := strings.Cut(name, "/"); ok && o.Host != "" {
		name = o.Host + "/" + rest
	}
	var out []bridge.Fact
	for _, tag := range doc.Tags {
		facts, err := published(bridge.Fact{Type: "repo_push", Source: doc.Home}, name, tag, "")
		if err != nil {
			return nil, err
		}
		out = append(out, facts...)
	}
	return out, nil
}
