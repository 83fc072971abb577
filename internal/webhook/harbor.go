package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

// harbor is what is read of a delivery of Harbor in either of its two forms. Documentation:
// https://goharbor.io/docs/main/working-with-projects/project-configuration/configure-webhooks/.
type harbor struct {
	Type     string     `json:"type"`
	At       stamp      `json:"occur_at"` // seconds
	Time     stamp      `json:"time"`     // in the form of CloudEvents
	Operator string     `json:"operator"`
	Source   string     `json:"source"`
	Event    harborData `json:"event_data"`
	Data     harborData `json:"data"` // in the form of CloudEvents
}

type harborData struct {
	Resources []struct {
		Digest string `json:"digest"`
		Tag    string `json:"tag"`
		URL    string `json:"resource_url"` // "harbor.example.com/shop/web:1.0.0"
	} `json:"resources"`
	Repository struct {
		FullName string `json:"repo_full_name"`
	} `json:"repository"`
}

func readHarbor(r Request, o Options) ([]bridge.Fact, error) {
	doc, err := decode[harbor](r.Body)
	if err != nil {
		return nil, err
	}
	data := doc.Event
	switch doc.Type {
	case "":
		return nil, wrong("type", "is missing")
	case "PUSH_ARTIFACT":
	case "harbor.artifact.pushed":
		data = doc.Data
	default:
		return nil, nil
	}
	at := doc.At.Time
	if at.IsZero() {
		at = doc.Time.Time
	}
	var out []bridge.Fact
	for _, res := range data.Resources {
		if strings.HasPrefix(res.Tag, "sha256:") {
			continue // pushed without a tag
		}
		host, _, _ := strings.Cut(res.URL, "/")
		name := first(o.Host, host) + "/" + data.Repository.FullName
		facts, err := published(bridge.Fact{Type: doc.Type, Source: doc.Source, Actor: doc.Operator, At: at}, name, res.Tag, res.Digest)
		if err != nil {
			return nil, err
		}
		out = append(out, facts...)
	}
	return out, nil
}
