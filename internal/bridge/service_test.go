package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

const delivery = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web, require: [signature, provenance, tests]}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
`

func TestProvenArtifactCrosses(t *testing.T) {
	w := newWorld(t)
	h := w.tell(w.publish("1.0.0", "v1", w.good))
	if h.State != bridge.Accepted {
		t.Fatalf("handoff %s: %s", h.State, h.Reason)
	}
	r, err := w.store.Release(t.Context(), "shop@1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != h.Release || r.Author != "alice" || r.Chain != "c1" || r.Evidence["web"].Tests.Passed != 3 || r.Snapshot != r.Evidence.Hash() {
		t.Errorf("release %+v", r)
	}
	if n := w.promotions(); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
}

func TestTwoSourcesGiveOneAcceptedHandoff(t *testing.T) {
	w := newWorld(t)
	ref := w.publish("1.0.0", "v1", w.good)
	first := w.tell(ref)
	second := w.tell(ref)
	if second.State != bridge.Ignored || second.Reason != fmt.Sprintf("duplicate of %d", first.ID) {
		t.Errorf("the second is %s: %s", second.State, second.Reason)
	}
	if n := w.promotions(); n != 1 {
		t.Errorf("%d promotions, want 1", n)
	}
}

func TestUnprovenArtifactIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		setup func(w *world) artifact.Reference
		want  string
	}{
		"unsigned": {func(w *world) artifact.Reference { return w.publish("1.0.0", "v1", nil) }, "provenance"},
		"from another repository": {func(w *world) artifact.Reference {
			return w.publish("1.0.0", "v1", func(d artifact.Digest) [][]byte { return w.sign(d, made{repository: "evil"}) })
		}, "evil"},
		"of another image's attestations": {func(w *world) artifact.Reference {
			other := w.sign(artifact.DigestOf([]byte("v0")), made{})
			return w.publish("1.0.0", "v1", func(artifact.Digest) [][]byte { return other })
		}, "not about"},
		"stripped of one attestation": {func(w *world) artifact.Reference {
			return w.publish("1.0.0", "v1", func(d artifact.Digest) [][]byte { return w.good(d)[1:] })
		}, ""},
		"with too many referrers": {func(w *world) artifact.Reference {
			return w.publish("1.0.0", "v1", func(artifact.Digest) [][]byte { return make([][]byte, bridge.MaxReferrers+1) })
		}, "more than 200 referrers"},
		"whose digest is a lie": {func(w *world) artifact.Reference {
			ref := w.publish("1.0.0", "v1", w.good)
			ref.Digest = artifact.DigestOf([]byte("lie"))
			return ref
		}, "but tag 1.0.0 names"},
		"that is not there": {func(w *world) artifact.Reference {
			ref := w.publish("1.0.0", "v1", w.good)
			ref.Tag = "1.0.9"
			return ref
		}, "the registry has no shop/web:1.0.9"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := w.tell(c.setup(w))
			if h.State != bridge.Refused || !strings.Contains(h.Reason, c.want) || strings.Contains(h.Reason, "\n") {
				t.Errorf("handoff %s: %s; want %q in it", h.State, h.Reason, c.want)
			}
			if n := w.promotions(); n != 0 {
				t.Errorf("%d promotions, want none", n)
			}
		})
	}
}

func TestVersionNamesOneDigestForEver(t *testing.T) {
	w := newWorld(t)
	w.tell(w.publish("1.0.0", "v1", w.good))
	h := w.tell(w.publish("1.0.0", "v2", w.good)) // a registry whose tags move
	if h.State != bridge.Refused || !strings.Contains(h.Reason, "names it for ever") {
		t.Errorf("handoff %s: %s", h.State, h.Reason)
	}
}

func TestTagThatDoesNotMatchIsIgnored(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"latest", "0.9.0"} {
		if h := w.tell(w.publish(tag, tag, w.good)); h.State != bridge.Ignored {
			t.Errorf("tag %s: %s: %s", tag, h.State, h.Reason)
		}
	}
}

func TestOtherImageConcernsNobody(t *testing.T) {
	w := newWorld(t)
	ref := artifact.Reference{Repository: "other/web", Tag: "1.0.0", Digest: artifact.DigestOf([]byte("x"))}
	if list := w.receive(bridge.Message{Facts: []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}}); len(list) != 0 {
		t.Errorf("%d handoffs", len(list))
	}
}

func TestRegistryOutOfReachIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	ref := w.publish("1.0.0", "v1", w.good)
	m := bridge.Message{Receiver: bridge.DoorAPI, Sender: "ci", Key: "1", Facts: []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}}
	kept, _, err := w.bridge.Receive(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	id := kept[0].ID
	w.registry.down = fault.New(fault.Unavailable, "the registry does not answer")
	for n := 1; n <= 3; n++ {
		if err := w.bridge.Process(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		ev, err := w.store.Event(t.Context(), id)
		if err != nil || ev.State != bridge.EventReceived || ev.Attempts != n || !strings.Contains(ev.Reason, "does not answer") {
			t.Fatalf("after %d tries the event is %+v, %v", n, ev, err)
		}
	}
	w.registry.down = nil
	if list := w.process(id); len(list) != 1 || list[0].State != bridge.Accepted {
		t.Errorf("handoffs %+v, want one accepted", list)
	}
	again, fresh, err := w.bridge.Receive(t.Context(), m)
	if err != nil || fresh || again[0].ID != id {
		t.Errorf("a repetition gave event %+v, fresh %v, %v", again, fresh, err)
	}
}

// A registry that stays away for a day leaves the event to a person, who has it processed
// again once it is back.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	ref := w.publish("1.0.0", "v1", w.good)
	kept, _, err := w.bridge.Receive(t.Context(), bridge.Message{Receiver: bridge.DoorAPI, Sender: "ci", Key: "1", Facts: []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}})
	if err != nil {
		t.Fatal(err)
	}
	w.registry.down = fault.New(fault.Unavailable, "the registry does not answer")
	w.now = w.now.Add(25 * time.Hour)
	for range 6 { // process tries twice
		w.process(kept[0].ID)
	}
	ev, err := w.store.Event(t.Context(), kept[0].ID)
	if err != nil || ev.State != bridge.EventDead || !strings.Contains(ev.Reason, "does not answer") {
		t.Fatalf("the event is %+v, %v, want it dead", ev, err)
	}
	w.registry.down = nil
	again, err := w.store.Redrive(t.Context(), "ops", ev, nil)
	if err != nil || again.ID != ev.ID {
		t.Fatalf("Redrive = %+v, %v", again, err)
	}
	w.want(w.only(w.process(again.ID)), bridge.Accepted, "")
	processed, err := w.store.Event(t.Context(), ev.ID)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := w.store.Redrive(t.Context(), "ops", processed, nil)
	if err != nil || twice.ID == ev.ID {
		t.Fatalf("Redrive of a processed event = %+v, %v, want a new one", twice, err)
	}
	w.want(w.only(w.process(twice.ID)), bridge.Ignored, "duplicate of")
}
