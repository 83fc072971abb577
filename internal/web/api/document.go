package api

// YAMLType is the media type of the files that are applied.
const YAMLType = "application/yaml"

// Applied is what an apply did, or would do.
type Applied struct {
	Kind    string `json:"kind"` // "Delivery", "Trust", "Policy" or "Workload"
	Name    string `json:"name"`
	Version int64  `json:"version"` // the newest version now
	Changed bool   `json:"changed"` // false: the file is the newest version already
	Diff    string `json:"diff"`    // unified, from the version before; empty when nothing changed
}

// Delivery is one version of a delivery as it was applied.
type Delivery struct {
	Name    string `json:"name"`
	Version int64  `json:"version"`
	Source  string `json:"source,omitempty"` // YAML; not in lists
}
