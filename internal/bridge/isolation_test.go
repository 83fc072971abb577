package bridge_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// namedShop is a delivery that waits for the image shop/web, under another name.
func namedShop(name, trigger string) string {
	return strings.NewReplacer("name: shop\n", "name: "+name+"\n", "image: shop/web,", "image: shop/web, source: {repository: shop},").Replace(withTrigger(trigger))
}

// What cannot be judged for one application keeps nobody else waiting, and is judged later.
func TestOneTriggerKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	pair := strings.Replace(namedShop("other", "{name: both, on: artifact, promote: dev}"), "triggers:", "  - {name: api, image: shop/api, source: {repository: shop}}\ntriggers:", 1)
	w := newWorld(t, withTrigger("{name: published, on: artifact, promote: dev}"), pair)
	w.registry.broken = map[string]error{"shop/api": fault.New(fault.Forbidden, "shop/api lets us not read it")}
	ref := w.image("shop/web", "1.0.0", "v1", made{})
	list := w.receive(bridge.Message{Facts: []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}})
	by := map[string]bridge.Handoff{}
	for _, h := range list {
		by[h.Application] = h
	}
	if len(list) != 2 {
		t.Fatalf("handoffs %+v, want one of each application", list)
	}
	w.want(by["shop"], bridge.Accepted, "")
	w.want(by["other"], bridge.Waiting, "lets us not read it")
	w.registry.broken = nil
	w.image("shop/api", "1.0.0", "api", made{})
	w.want(w.look(by["other"]), bridge.Accepted, "")
}

// A waiting handoff that can never be judged is refused in the end, with the reason.
func TestWaitingEndsWhenItCannotBeJudged(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Forbidden, fault.Unavailable} {
		w := crossed(t, `{name: ticket, on: webhook, receiver: jira, release: body.v, wait: 1h, promote: staging}`)
		h := w.only(w.receive(ticket("jira", `{"v":"1.2.0"}`)))
		w.want(h, bridge.Waiting, "")
		w.failing(fault.New(kind, "it lets us not read it"))
		w.want(w.look(h), bridge.Waiting, "")
		w.now = w.now.Add(8 * 24 * time.Hour)
		w.want(w.look(h), bridge.Refused, "lets us not read it")
	}
}

// failing makes every judgement give err, from now on.
func (w *world) failing(err error) { w.bridge.Ledger = failing{w.bridge.Ledger, err} }

// failing is a ledger that cannot say which triggers are paused, the first thing that a
// judgement asks.
type failing struct {
	bridge.Ledger
	err error
}

// Paused implements bridge.HandoffRecord.
func (f failing) Paused(_ context.Context, _, _ string) (bridge.Pause, error) {
	return bridge.Pause{}, f.err
}

// An event that a person has processed again after a day is tried more than once.
func TestRedrivenEventHasTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := w.publish("1.0.0", "v1", w.good)
	kept, _, err := w.bridge.Receive(t.Context(), bridge.Message{Receiver: bridge.DoorAPI, Sender: "ci", Key: "1", Facts: []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}})
	if err != nil {
		t.Fatal(err)
	}
	id := kept[0].ID
	w.registry.down = fault.New(fault.Unavailable, "the registry does not answer")
	w.now = w.now.Add(25 * time.Hour)
	for range 12 {
		w.process(id)
	}
	if ev, err := w.store.Event(t.Context(), id); err != nil || ev.State != bridge.EventDead {
		t.Fatalf("the event is %+v, %v, want it dead", ev, err)
	}
	if _, err := w.bridge.Redrive(t.Context(), "ops", id); err != nil {
		t.Fatal(err)
	}
	w.process(id)
	if ev, err := w.store.Event(t.Context(), id); err != nil || ev.State != bridge.EventReceived {
		t.Errorf("after one try the event is %+v, %v, want it received", ev, err)
	}
}

// An application that polls an image which another one polled before gets its newest tag too.
func TestFirstLookOfEachApplication(t *testing.T) {
	t.Parallel()
	other := strings.NewReplacer("name: shop\n", "name: other\n", "image: shop/web,", "image: shop/web, source: {repository: shop},").Replace(polled)
	w := newWorld(t, polled)
	w.image("shop/web", "1.0.0", "0", made{})
	w.ring(bridge.ClockRegistry)
	w.apply(other)
	list, err := w.store.Clocks(t.Context(), "other")
	if err != nil || len(list) != 1 {
		t.Fatalf("clocks %+v, %v", list, err)
	}
	if err := w.clock.Ring(t.Context(), list[0].ID, list[0].Version); err != nil {
		t.Fatal(err)
	}
	w.process(w.events()[0].ID)
	if got := w.opened(); len(got) != 2 {
		t.Errorf("opened %v, want one of each application", got)
	}
}

// One tag that cannot be read keeps no other from being found, and attached objects are no images.
func TestPollPassesOverWhatItCannotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(polled, `{semver: ">=1.0.0"}`, "{newest: true}", 1))
	w.image("shop/web", "1.0.0", "0", made{at: w.now.Add(-time.Hour)})
	chart := w.publish("chart", "no image", nil)
	attached := strings.Replace(chart.Digest.String(), ":", "-", 1) + ".sig"
	w.image("shop/web", attached, "signature", made{at: w.now})
	if got := w.ring(bridge.ClockRegistry); len(got) != 1 || !strings.Contains(got[0], ":1.0.0@") {
		t.Errorf("the first look brought %v; %s", got, w.clockOf(bridge.ClockRegistry).Reason)
	}
	w.image("shop/web", "1.1.0", "1", made{at: w.now})
	w.publish("broken", "broken", nil)
	w.registry.broken = map[string]error{"shop/web:broken": fault.New(fault.Invalid, "it is no manifest")}
	if got := w.ring(bridge.ClockRegistry); len(got) != 1 || !strings.Contains(got[0], ":1.1.0@") {
		t.Errorf("the second look brought %v; %s", got, w.clockOf(bridge.ClockRegistry).Reason)
	}
}

// What CD writes back on top of a person's commit, before anybody looked, hides it not.
func TestOwnCommitHidesNoPersons(t *testing.T) {
	t.Parallel()
	w := crossed(t, gitTrigger)
	carol, mallory, own := newPerson(t, "carol"), newPerson(t, "mallory"), newPerson(t, bridge.OwnCommits)
	w.believed(carol)
	w.believed(own)
	w.write(carol, runs("1.0.0"))
	w.write(own, runs("9.9.9"))
	h := w.state(own, runs("9.9.9"))
	w.want(h, bridge.Accepted, "by carol")
	if len(h.Asked) != 1 || h.Asked[0].Version != "1.0.0" {
		t.Errorf("asked for %+v, want what carol wrote", h.Asked)
	}
	w.want(w.state(own, runs("9.9.9")), bridge.Ignored, "handed over already")
	w.write(mallory, runs("1.1.0"))
	w.want(w.state(own, runs("1.1.0")), bridge.Refused, "no signer has")
}

// A tag hands over no release of which a part is built from another commit.
func TestTagOfAMixedRelease(t *testing.T) {
	t.Parallel()
	mixed := strings.Replace(withTrigger("{name: published, on: artifact, together: newer}\n  - "+releaseTrigger), "triggers:", "  - {name: api, image: shop/api, require: [signature, provenance, tests]}\ntriggers:", 1)
	w := newWorld(t, mixed)
	tell := func(name, content, letter string) []bridge.Handoff {
		ref := w.image(name, "1.0.0-"+content, name+content, made{commit: commitOf(letter)})
		return w.receive(bridge.Message{Facts: []bridge.Fact{bridge.Published{Artifact: ref}.Fact()}})
	}
	tell("shop/api", "a", "a")
	w.want(w.only(tell("shop/web", "b", "b")), bridge.Accepted, "")
	h := w.tag("v2.0.0", commitOf("b"))
	w.want(h, bridge.Waiting, "waits for api")
	tell("shop/api", "b", "b")
	h = w.look(h)
	w.want(h, bridge.Accepted, "")
	r, err := w.store.Release(t.Context(), h.Release)
	if err != nil || r.Artifacts["api"] != artifact.DigestOf([]byte("shop/apib")) {
		t.Errorf("release %+v, %v, want the api of commit b", r, err)
	}
}
