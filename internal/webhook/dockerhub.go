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
