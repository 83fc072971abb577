package bridge_test

import (
	"fmt"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// withTrigger is a delivery of one artifact with one trigger.
func withTrigger(trigger string) string {
	return `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, require: [signature, provenance, tests]}
triggers:
  - ` + trigger + `
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: staging
    target: {process: {artifact: web, command: [./web]}}
`
}

// Each step publishes one image under one trigger and says what becomes of it.
func TestTagRules(t *testing.T) {
	t.Parallel()
	type step struct {
		tag, content string
		built        int // hours
		state        bridge.HandoffState
		want         string // in the reason, or the version that is accepted
	}
	for name, tt := range map[string]struct {
		tags  string
		steps []step
	}{
		"semver": {`{semver: ">=1.0.0 <2", ignore: ["*-rc*"]}`, []step{
			{"1.2.0", "a", 0, bridge.Accepted, "1.2.0"},
			{"2.0.0", "b", 0, bridge.Ignored, "does not meet"},
			{"1.3.0-rc.1", "c", 0, bridge.Ignored, "ignore"},
			{"latest", "d", 0, bridge.Ignored, "latest"},
		}},
		"regex with a capture": {`{regex: "build-(?P<version>[0-9]+)"}`, []step{
			{"build-7", "a", 0, bridge.Accepted, "7"},
			{"build-7b", "b", 0, bridge.Ignored, "build-7b"},
		}},
		"newest": {`{newest: true}`, []step{
			{"tuesday", "a", 48, bridge.Accepted, "tuesday"},
			{"monday", "b", 24, bridge.Ignored, "not newer than tuesday"},
			{"friday", "c", 96, bridge.Accepted, "friday"},
		}},
		"lexical": {`{lexical: true, regex: "[0-9]{4}-[0-9]{2}"}`, []step{
			{"2026-02", "a", 0, bridge.Accepted, "2026-02"},
			{"2026-01", "b", 0, bridge.Ignored, "not newer than 2026-02"},
			{"2026-03", "c", 0, bridge.Accepted, "2026-03"},
			{"next", "d", 0, bridge.Ignored, "next"},
		}},
		"a tag that moves": {`{digest: latest}`, []step{
			{"latest", "a", 0, bridge.Accepted, "latest-" + artifact.DigestOf([]byte("a")).Short()},
			{"latest", "a", 0, bridge.Ignored, "duplicate of"},
			{"latest", "b", 0, bridge.Accepted, "latest-" + artifact.DigestOf([]byte("b")).Short()},
			{"other", "c", 0, bridge.Ignored, "other"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withTrigger("{name: t, on: artifact, tags: "+tt.tags+", promote: dev}"))
			for _, s := range tt.steps {
				h := w.tell(w.image("shop/web", s.tag, s.content, made{at: w.now.Add(time.Duration(s.built) * time.Hour)}))
				if s.state == bridge.Accepted {
					w.want(h, bridge.Accepted, "verified")
					if h.Version != s.want {
						t.Errorf("tag %s gave version %q, want %q", s.tag, h.Version, s.want)
					}
					continue
				}
				w.want(h, s.state, s.want)
			}
		})
	}
}

func TestNewestNeedsABuildDate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger("{name: t, on: artifact, tags: {newest: true}, promote: dev}"))
	w.want(w.tell(w.image("shop/web", "x", "a", made{})), bridge.Refused, "no build date")
}

func TestPlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger("{name: t, on: artifact, platform: linux/arm64, promote: dev}"))
	ref := w.image("shop/web", "1", "a", made{})
	w.want(w.tell(ref), bridge.Ignored, "not for linux/arm64")
	w.registry.images[ref.Digest] = bridge.Image{Platforms: []string{"linux/amd64", "linux/arm64"}}
	w.want(w.tell(ref), bridge.Accepted, "")
}

func TestConditionOverEvidence(t *testing.T) {
	t.Parallel()
	for when, want := range map[string]struct {
		state bridge.HandoffState
		text  string
	}{
		`evidence.tests.passed >= 3 && evidence.tests.failed == 0`:                            {bridge.Accepted, ""},
		`evidence.artifacts.web.provenance.author == "alice" && event.artifact.endsWith("1")`: {bridge.Ignored, ""},
		`evidence.tests.passed > 100`:                                                         {bridge.Ignored, "does not hold"},
		`evidence.coverage.line > 0.5`:                                                        {bridge.Ignored, "coverage"},
		`has(evidence.coverage) || evidence.tests.passed == 3`:                                {bridge.Accepted, ""},
		`event.sender == "ci" && event.receiver == "api"`:                                     {bridge.Accepted, ""},
	} {
		w := newWorld(t, withTrigger(fmt.Sprintf("{name: t, on: artifact, when: %q, promote: dev}", when)))
		w.want(w.tell(w.image("shop/web", "1.0.0", "a", made{})), want.state, want.text)
	}
}

// Evidence that is still being attached is waited for, when the artifact says so; what is
// wrong is not.
func TestWaitForEvidence(t *testing.T) {
	t.Parallel()
	delivery := `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, wait: 10m, require: [signature, provenance, tests]}
triggers:
  - {name: t, on: artifact, promote: dev}
environments:
  - {name: dev, target: {process: {artifact: web, command: [./web]}}}
`
	w := newWorld(t, delivery)
	ref := w.publish("1.0.0", "v1", nil)
	h := w.tell(ref)
	w.want(h, bridge.Waiting, "no provenance")
	if h.Look.IsZero() || !h.Until.Equal(w.now.Add(10*time.Minute)) {
		t.Errorf("the handoff waits until %v, looked at %v", h.Until, h.Look)
	}
	w.registry.bundles[ref.Digest] = w.good(ref.Digest)[:1]
	w.now = w.now.Add(time.Minute)
	w.want(w.look(h), bridge.Waiting, "")
	w.registry.bundles[ref.Digest] = w.good(ref.Digest)
	h = w.look(h)
	w.want(h, bridge.Accepted, "verified")
	w.want(w.look(h), bridge.Accepted, "verified") // it waits no more: nothing changes
	if n := w.promotions(); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
	evil := w.publish("1.1.0", "v2", func(d artifact.Digest) [][]byte { return w.sign(d, made{repository: "evil"}) })
	w.want(w.tell(evil), bridge.Refused, "evil")
	late := w.tell(w.publish("1.2.0", "v3", nil))
	w.now = w.now.Add(time.Hour)
	w.want(w.look(late), bridge.Refused, "no provenance")
}

// While a registry is out of reach a waiting handoff goes on waiting, even past its time.
func TestOutageDecidesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twoArtifacts("tag"))
	h := w.tell(w.image("shop/web", "1.0.0", "w1", made{}))
	w.want(h, bridge.Waiting, "waits for worker")
	w.now = w.now.Add(48 * time.Hour)
	w.registry.down = fault.New(fault.Unavailable, "the registry does not answer")
	w.want(w.look(h), bridge.Waiting, "")
	w.registry.down = nil
	w.want(w.look(h), bridge.Refused, "did not come within 24h")
}

func twoArtifacts(together string) string {
	return `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, require: [signature, provenance, tests]}
  - {name: worker, image: shop/worker, require: [signature, provenance, tests]}
triggers:
  - {name: t, on: artifact, together: ` + together + `, promote: dev}
environments:
  - {name: dev, target: {process: {artifact: web, command: [./web]}}}
`
}

func TestArtifactsOfOneTag(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twoArtifacts("tag"))
	first := w.tell(w.image("shop/web", "1.0.0", "w1", made{}))
	w.want(first, bridge.Waiting, "waits for worker: the registry has no shop/worker:1.0.0")
	second := w.tell(w.image("shop/worker", "1.0.0", "k1", made{}))
	w.want(second, bridge.Accepted, "6 attestations")
	w.want(w.look(first), bridge.Ignored, "duplicate of")
	r, err := w.store.Release(t.Context(), "shop@1.0.0")
	if err != nil || len(r.Artifacts) != 2 || len(r.Evidence) != 2 {
		t.Errorf("release %+v, %v, want both artifacts", r, err)
	}
	w.image("shop/worker", "1.1.0", "k2", made{repository: "evil"})
	w.want(w.tell(w.image("shop/web", "1.1.0", "w2", made{})), bridge.Refused, "worker: ")
}

func TestArtifactsOfOneCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twoArtifacts("commit"))
	w.want(w.tell(w.image("shop/worker", "w-1", "k1", made{commit: commitOf("a")})), bridge.Waiting, "waits for web")
	w.want(w.tell(w.image("shop/worker", "w-2", "k2", made{commit: commitOf("b")})), bridge.Waiting, "waits for web")
	h := w.tell(w.image("shop/web", "1.0.0", "w1", made{commit: commitOf("a")}))
	w.want(h, bridge.Accepted, "")
	r, err := w.store.Release(t.Context(), h.Release)
	if err != nil || r.Artifacts["worker"] != artifact.DigestOf([]byte("k1")) || r.Commit != commitOf("a") {
		t.Errorf("release %+v, %v, want the worker of the same commit", r, err)
	}
}

func TestArtifactsThatAreAllNewer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twoArtifacts("newer"))
	w.want(w.tell(w.image("shop/web", "1", "w1", made{})), bridge.Waiting, "waits for worker")
	w.want(w.tell(w.image("shop/worker", "1", "k1", made{})), bridge.Accepted, "")
	w.want(w.tell(w.image("shop/web", "2", "w2", made{})), bridge.Waiting, "nothing newer than")
	h := w.tell(w.image("shop/worker", "2", "k2", made{}))
	w.want(h, bridge.Accepted, "")
	r, err := w.store.Release(t.Context(), h.Release)
	if err != nil || r.Artifacts["web"] != artifact.DigestOf([]byte("w2")) {
		t.Errorf("release %+v, %v", r, err)
	}
}

// A receiver's events concern its own applications and no other, whatever triggers say.
func TestReceiverOfAnotherTeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger("{name: t, on: artifact, promote: dev}"))
	ref := w.image("shop/web", "1.0.0", "a", made{})
	fact := bridge.Published{Artifact: ref}.Fact()
	if list := w.receive(bridge.Message{Receiver: "team-b", Sender: "team-b", Applications: []string{"other"}, Facts: []bridge.Fact{fact}}); len(list) != 0 {
		t.Errorf("team B's delivery gave %+v", list)
	}
	w.want(w.only(w.receive(bridge.Message{Receiver: "team-a", Sender: "team-a", Applications: []string{"shop"}, Facts: []bridge.Fact{fact}})), bridge.Accepted, "")
}

func TestTriggerAtAReceiver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger("{name: t, on: artifact, receiver: harbor, promote: dev}"))
	ref := w.image("shop/web", "1.0.0", "a", made{})
	fact := []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}
	if list := w.receive(bridge.Message{Facts: fact}); len(list) != 0 {
		t.Errorf("an event of the API gave %+v", list)
	}
	w.want(w.only(w.receive(bridge.Message{Receiver: "harbor", Sender: "harbor", Facts: fact})), bridge.Accepted, "")
}

func TestPausedTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger("{name: t, on: artifact, promote: dev}"))
	if err := w.store.SetPause(t.Context(), "ops", "shop", "t", bridge.Pause{By: "ops", Reason: "holidays", At: w.now}); err != nil {
		t.Fatal(err)
	}
	ref := w.image("shop/web", "1.0.0", "a", made{})
	w.want(w.tell(ref), bridge.Ignored, "paused by ops: holidays")
	if err := w.store.SetPause(t.Context(), "ops", "shop", "t", bridge.Pause{}); err != nil {
		t.Fatal(err)
	}
	w.want(w.tell(ref), bridge.Accepted, "")
}

// What waits when a trigger is paused goes on waiting, and is handed over after the pause.
func TestPauseKeepsWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, twoArtifacts("tag"))
	h := w.tell(w.image("shop/web", "1.0.0", "w1", made{}))
	w.want(h, bridge.Waiting, "waits for worker")
	pause := func(by string) {
		t.Helper()
		if err := w.store.SetPause(t.Context(), "ops", "shop", "t", bridge.Pause{By: by, At: w.now}); err != nil {
			t.Fatal(err)
		}
	}
	pause("ops")
	w.want(w.tell(w.image("shop/worker", "1.0.0", "k1", made{})), bridge.Ignored, "paused by ops")
	w.want(w.look(h), bridge.Waiting, "waits for worker")
	pause("")
	w.want(w.look(h), bridge.Accepted, "")
	late := w.tell(w.image("shop/web", "1.1.0", "w2", made{}))
	pause("ops")
	w.now = w.now.Add(25 * time.Hour)
	w.want(w.look(late), bridge.Ignored, "paused by ops")
}

// A test says what would happen, and nothing happens.
func TestTestHasNoEffect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger("{name: t, on: artifact, tags: {semver: '>=2'}, promote: dev}"))
	h := w.tell(w.image("shop/web", "1.0.0", "a", made{}))
	w.want(h, bridge.Ignored, "")
	w.apply(withTrigger("{name: t, on: artifact, tags: {semver: '>=1'}, promote: dev}"))
	o, err := w.bridge.Test(t.Context(), "shop", "t", h.Event)
	if err != nil {
		t.Fatal(err)
	}
	w.want(o.Handoff, bridge.Accepted, "")
	if len(o.Handoff.Checks) < 3 || len(o.Starts) != 1 {
		t.Errorf("checks %+v, starts %d", o.Handoff.Checks, len(o.Starts))
	}
	if w.promotions() != 0 || len(w.handoffs(h.Event)) != 1 {
		t.Error("the test had an effect")
	}
	if _, err := w.bridge.Test(t.Context(), "shop", "nope", h.Event); !fault.Is(err, fault.NotFound) {
		t.Errorf("Test of no trigger = %v", err)
	}
}

// An event without a digest is resolved here; one that lies changes nothing.
func TestDigestOfAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withTrigger("{name: t, on: artifact, promote: dev}"))
	ref := w.image("shop/web", "1.0.0", "a", made{})
	bare := ref
	bare.Digest = artifact.Digest{}
	h := w.tell(bare)
	w.want(h, bridge.Accepted, "")
	if h.Image.Digest != ref.Digest {
		t.Errorf("image %s, want %s", h.Image, ref.Digest)
	}
	lie := w.image("shop/web", "1.1.0", "b", made{})
	lie.Digest = ref.Digest
	w.want(w.tell(lie), bridge.Refused, "the event says")
}
