package bridge

import (
	"slices"

	"github.com/Masterminds/semver/v3"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
)

// Application is what the bridge needs of a delivery: whose artifacts may cross, on
// whose word, and which triggers wait for them. A value is valid; cd makes it from the file.
type Application struct {
	Name      string         `json:"name"`
	Delivery  int64          `json:"delivery"` // version of the delivery that says so
	Artifacts []ArtifactRule `json:"artifacts"`
	Triggers  []Trigger      `json:"triggers"`
}

// ArtifactRule says what must be proven of one artifact before it crosses.
type ArtifactRule struct {
	Name       string             `json:"name"`
	Image      artifact.Reference `json:"image"`      // without tag and digest
	Repository string             `json:"repository"` // source that its provenance must name
	Refs       []string           `json:"refs"`       // refs that it may be built from; a trailing * stands for the rest
	Signers    []string           `json:"signers"`    // who may vouch for it
	Require    []string           `json:"require"`    // attestations without which nothing crosses
}

// Demand is the rule as attest judges it.
func (a ArtifactRule) Demand() attest.Demand {
	return attest.Demand{Signers: a.Signers, Require: a.Require, Repository: a.Repository, Refs: a.Refs, Image: a.Image}
}

// Trigger is a rule: when this artifact is published under such a tag, ask for that environment.
type Trigger struct {
	Name     string `json:"name"`
	Artifact string `json:"artifact"`
	Semver   string `json:"semver,omitempty"` // constraint on the tag; empty means any tag
	Promote  string `json:"promote"`          // environment
}

// Match reports whether tag meets the trigger, and if not, why not.
func (t Trigger) Match(tag string) (ok bool, why string) {
	if t.Semver == "" {
		return true, ""
	}
	c, err := semver.NewConstraint(t.Semver)
	if err != nil {
		return false, "the constraint " + t.Semver + " cannot be read"
	}
	v, err := semver.NewVersion(tag)
	if err != nil {
		return false, "tag " + tag + " is no semantic version"
	}
	if !c.Check(v) {
		return false, "tag " + tag + " does not meet " + t.Semver
	}
	return true, ""
}

// Artifact finds an artifact by its name.
func (a Application) Artifact(name string) (ArtifactRule, bool) {
	i := slices.IndexFunc(a.Artifacts, func(r ArtifactRule) bool { return r.Name == name })
	if i < 0 {
		return ArtifactRule{}, false
	}
	return a.Artifacts[i], true
}

// concerned lists the triggers that wait for artifacts in image's repository.
func (a Application) concerned(image artifact.Reference) []Trigger {
	var out []Trigger
	for _, t := range a.Triggers {
		if r, ok := a.Artifact(t.Artifact); ok && r.Image.Name() == image.Name() {
			out = append(out, t)
		}
	}
	return out
}
