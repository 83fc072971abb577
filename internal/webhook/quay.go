package webhook

import (
	"strings"

	"drawbridge/internal/bridge"
)

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
