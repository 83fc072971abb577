package bridge_test

import (
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
)

const source = "https://git.example.com/shop"

func tagged(tag, commit string) bridge.Fact {
	return bridge.Fact{Kind: bridge.KindRelease, Type: "release", Git: &bridge.GitRef{Repository: source, Ref: "refs/tags/" + tag, Commit: commit}}
}

func (w *world) tag(name, commit string) bridge.Handoff {
	w.t.Helper()
	w.git.refs[source+" refs/tags/"+name] = commit
	return w.only(w.receive(bridge.Message{Receiver: "gitea", Sender: "gitea", Facts: []bridge.Fact{tagged(name, "")}}))
}

const releaseTrigger = "{name: tagged, on: release, repository: " + source + ", tags: {semver: '>=1.0.0'}, promote: staging}"

// A tag hands over the artifact whose verified provenance names its commit, whatever the
// artifact is called.
func TestReleaseByCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger(releaseTrigger))
	build := func(tag, content, letter string) {
		t.Helper()
		ref := w.image("shop/web", tag, content, made{commit: commitOf(letter)})
		w.receive(bridge.Message{Facts: []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}})
	}
	build("sha-a", "a", "a")
	build("v2.0.0", "b", "b") // the name of the tag, another commit: counts for nothing
	h := w.tag("v2.0.0", commitOf("a"))
	w.want(h, bridge.Accepted, "")
	r, err := w.store.Release(t.Context(), h.Release)
	if err != nil || r.Artifacts["web"] != artifact.DigestOf([]byte("a")) || r.Version != "v2.0.0" || r.Commit != commitOf("a") {
		t.Errorf("release %+v, %v, want the artifact of commit a", r, err)
	}
	w.want(w.tag("v2.0.0", commitOf("a")), bridge.Ignored, "duplicate of")
	w.want(w.tag("v0.1.0", commitOf("a")), bridge.Ignored, "does not meet")

	early := w.tag("v3.0.0", commitOf("c"))
	w.want(early, bridge.Waiting, "waits for web")
	build("sha-c", "c", "c")
	w.want(w.look(early), bridge.Accepted, "")
	never := w.tag("v4.0.0", commitOf("d"))
	w.now = w.now.Add(25 * time.Hour)
	w.want(w.look(never), bridge.Refused, "did not come within")
}

func TestReleaseOfWhatCrossedBefore(t *testing.T) {
	t.Parallel()
	w := crossed(t, releaseTrigger)
	h := w.tag("v9.0.0", commitOf("a"))
	w.want(h, bridge.Accepted, "is proven to be built from")
	if h.Version != "1.0.0" {
		t.Errorf("version %s: a release has one name", h.Version)
	}
	if got := w.opened(); len(got) != 1 || got[0] != "staging 1.0.0" {
		t.Errorf("opened %v", got)
	}
}

func TestReleaseMisuse(t *testing.T) {
	t.Parallel()
	w := crossed(t, releaseTrigger)
	tell := func(f bridge.Fact) []bridge.Handoff {
		return w.receive(bridge.Message{Receiver: "x", Sender: "x", Facts: []bridge.Fact{f}})
	}
	w.git.refs[source+" refs/tags/v1.0.0"] = commitOf("a")
	lie := tagged("v1.0.0", commitOf("b"))
	w.want(w.only(tell(lie)), bridge.Refused, "the event says that tag v1.0.0 is commit "+commitOf("b"))
	w.want(w.only(tell(tagged("v7.0.0", ""))), bridge.Refused, "has no tag v7.0.0")
	draft := tagged("v1.0.0", "")
	draft.Git.Draft = true
	w.want(w.only(tell(draft)), bridge.Ignored, "draft")
	gone := tagged("v1.0.0", "")
	gone.Git.Deleted = true
	w.want(w.only(tell(gone)), bridge.Ignored, "deleted")
	other := tagged("v1.0.0", "")
	other.Git.Repository = "https://git.example.com/evil"
	if list := tell(other); len(list) != 0 {
		t.Errorf("another repository gave %+v", list)
	}
	branch := tagged("v1.0.0", "")
	branch.Git.Ref = "refs/heads/v1.0.0"
	w.want(w.only(tell(branch)), bridge.Ignored, "no tag")
}

const packageDelivery = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - name: web
    package: {npm: {name: "@acme/shop"}}
    require: [signature, provenance, tests]
triggers:
  - {name: packaged, on: release, tags: {semver: ">=1.0.0"}, promote: dev}
environments:
  - {name: dev, target: {process: {artifact: web, command: [./web]}}}
`

// A package becomes an artifact with one layer; what vouches for it is about the file.
func TestPackage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, packageDelivery)
	wrap := func(version string, bundles func(file artifact.Digest) [][]byte) {
		file, manifest := artifact.DigestOf([]byte("file "+version)), artifact.DigestOf([]byte("manifest "+version))
		w.files.wrapped["npm @acme/shop "+version] = bridge.Wrapped{Digest: manifest, File: file}
		w.registry.images[manifest] = bridge.Image{Digest: manifest, Layers: []artifact.Digest{file}}
		w.registry.bundles[manifest] = bundles(file)
	}
	tell := func(version string) bridge.Handoff {
		return w.only(w.receive(bridge.Message{Receiver: "npm", Sender: "npm", Facts: []bridge.Fact{{
			Kind: bridge.KindRelease, Type: "package", Package: &bridge.Package{Type: "npm", Name: "@acme/shop", Version: version},
		}}}))
	}
	image := made{image: "acme-shop.tgz"} // statements name the file
	wrap("1.0.0", func(file artifact.Digest) [][]byte { return w.sign(file, image) })
	w.want(tell("1.0.0"), bridge.Accepted, "verified")
	wrap("1.1.0", func(artifact.Digest) [][]byte { return nil })
	w.want(tell("1.1.0"), bridge.Refused, "no provenance")
	wrap("1.2.0", func(artifact.Digest) [][]byte { // grafted on: the evidence of another file
		return w.sign(artifact.DigestOf([]byte("file 1.0.0")), image)
	})
	h := tell("1.2.0")
	w.want(h, bridge.Refused, "not about")
	w.want(tell("2.0.0"), bridge.Waiting, "has no version 2.0.0")
	w.want(tell("0.9.0"), bridge.Ignored, "does not meet")
	if !strings.Contains(h.Reason, "web") && len(h.Refusals) == 0 {
		t.Errorf("handoff %+v", h)
	}
}
