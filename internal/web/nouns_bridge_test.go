package web_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

func TestPostWays(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	poster := p.secret[identity.Events]
	first, second := p.event(p.publish("1.0.0", true)), p.event(p.publish("1.1.0", true))
	post := func(body string, header ...string) call {
		c := hook("", body, header...)
		c.path, c.token = "/api/v1/events", poster
		return c
	}
	batch := want[api.Received](t, p.site, post("["+first+","+second+"]", "Content-Type", api.CloudEventsBatchType))
	if batch.ID != 1 || !batch.Fresh || !slices.Equal(batch.Events, []int64{1, 2}) {
		t.Errorf("a batch: %+v", batch)
	}
	again := want[api.Received](t, p.site, post("["+second+"]", "Content-Type", api.CloudEventsBatchType))
	if again.ID != 2 || again.Fresh {
		t.Errorf("a part of it again: %+v", again)
	}
	binary := post(`{"price":1}`, "Content-Type", "application/json", "Ce-Specversion", "1.0", "Ce-Type", "com.example.approved",
		"Ce-Source", "/shop", "Ce-Id", "b 1")
	if got := want[api.Received](t, p.site, binary); got.ID != 3 || !got.Fresh {
		t.Errorf("binary: %+v", got)
	}
	e := want[api.Event](t, p.site, call{path: "/api/v1/events/3", token: p.secret[identity.Viewer]})
	if e.Type != "com.example.approved" || e.Source != "/shop" || e.EventID != "b 1" || e.Key != "/shop b 1" || e.Receiver != "api" || e.Sender != "a-events" {
		t.Errorf("the event is %+v", e)
	}
	raw := want[api.RawEvent](t, p.site, call{path: "/api/v1/events/3/raw", token: p.secret[identity.Releaser]})
	if string(raw.Body) != `{"price":1}` || raw.Text != `{"price":1}` || raw.Headers == nil {
		t.Errorf("raw: %+v", raw)
	}
	if got := want[api.Received](t, p.site, post("[]", "Content-Type", api.CloudEventsBatchType)); got.Events == nil || len(got.Events) != 0 {
		t.Errorf("an empty batch, which the format allows: %+v", got)
	}
	refuse(t, p.site, post("["+first+",{}]", "Content-Type", api.CloudEventsBatchType), fault.Invalid, "")
	refuse(t, p.site, post(first, "Content-Type", "application/json"), fault.Invalid, "Content-Type")
	refuse(t, p.site, call{path: "/api/v1/events/9/raw", token: p.secret[identity.Releaser]}, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/events?state=odd", token: p.secret[identity.Viewer]}, fault.Invalid, "state")
}

// A token of one application makes no event that another could take.
func TestPostScope(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	_, secret, err := p.tokens.Create(t.Context(), identity.Request{Name: "till-ci", Role: identity.Events, Applications: []string{"till"}, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	c := call{method: "POST", path: "/api/v1/events", token: secret, body: p.event(p.publish("1.0.0", true)), header: asEvent}
	want[api.Received](t, p.site, c)
	p.settle()
	e := want[api.Event](t, p.site, call{path: "/api/v1/events/1", token: p.secret[identity.Viewer]})
	list := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs", token: p.secret[identity.Viewer]})
	if e.State != bridge.EventProcessed || !slices.Equal(e.Applications, []string{"till"}) || len(list.Items) != 0 {
		t.Errorf("event %+v gave %+v", e, list)
	}
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	secret := p.receiver(t, "tickets", "generic")
	p.send(t, hook("tickets", `{"status":`, "Authorization", "Bearer "+secret, "X-Delivery-Id", "d1"))
	again := call{method: "POST", path: "/api/v1/events/1/redrive", token: p.secret[identity.Releaser]}
	refuse(t, p.site, again, fault.Blocked, "") // it still tells of nothing
	p.send(t, hook("tickets", `{"status":"Open"}`, "Authorization", "Bearer "+secret, "X-Delivery-Id", "d2"))
	p.settle()
	again.path = "/api/v1/events/2/redrive"
	got := want[api.Event](t, p.site, again)
	if got.ID != 3 || got.State != bridge.EventReceived || !strings.HasPrefix(got.Key, "d2") || got.Subject == "" {
		t.Errorf("processed again: %+v", got)
	}
	p.settle()
	list := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs?trigger=ticket", token: p.secret[identity.Viewer]})
	if len(list.Items) != 2 || list.Items[0].Event != 3 {
		t.Errorf("handoffs %+v", list)
	}
	if got := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs?event=2", token: p.secret[identity.Viewer]}); len(got.Items) != 1 || got.Items[0].Event != 2 {
		t.Errorf("of event 2: %+v", got)
	}
	if got := want[api.List[api.Event]](t, p.site, call{path: "/api/v1/events?application=shop", token: p.secret[identity.Viewer]}); len(got.Items) != 2 {
		t.Errorf("events of shop: %+v", got)
	}
	again.path = "/api/v1/events/77/redrive"
	refuse(t, p.site, again, fault.NotFound, "")
}

func TestExplain(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	viewer := p.secret[identity.Viewer]
	p.ship("1.0.0", true)
	p.ship("1.1.0", false)
	for path, texts := range map[string][]string{
		"1": {"Event 1 came from a-events over the API", "Trigger published of shop", "Tag rule holds", "It was accepted", "shop@1.0.0 was asked for in dev"},
		"2": {"Evidence does not hold", "Not proven, by rule", "It was refused"},
	} {
		x := want[api.Explanation](t, p.site, call{path: "/api/v1/handoffs/" + path + "/explain", token: viewer})
		all := strings.Join(x.Story, "\n")
		for _, text := range texts {
			if !strings.Contains(all, text) {
				t.Errorf("the story of %s lacks %q:\n%s", path, text, all)
			}
		}
		if x.Rule == nil || x.Rule.Name != "published" || x.Rule.Tags.Semver != ">=1.0.0-0" || x.Event.ID == 0 || x.Handoff.Checks == nil {
			t.Errorf("handoff %s: %+v", path, x)
		}
	}
	refuse(t, p.site, call{path: "/api/v1/handoffs/9/explain", token: viewer}, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/handoffs?event=x", token: viewer}, fault.Invalid, "event")
}

func TestTriggers(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	viewer, releaser := p.secret[identity.Viewer], p.secret[identity.Releaser]
	p.ship("1.0.0", true)
	p.ship("1.1.0", false)
	list := want[api.List[api.Trigger]](t, p.site, call{path: "/api/v1/triggers?application=shop&limit=2", token: viewer})
	if len(list.Items) != 2 || list.Next != "shop/nightly" {
		t.Fatalf("first page: %+v", list)
	}
	pub, night := list.Items[0], list.Items[1]
	if pub.LastFired.Handoff != 1 || pub.LastFired.Version != "1.0.0" || pub.Last.Handoff != 2 || pub.Last.State != bridge.Refused || pub.Last.Reason == "" {
		t.Errorf("published: %+v, %+v", pub.LastFired, pub.Last)
	}
	if len(pub.Polls) != 1 || pub.Polls[0].Kind != bridge.ClockRegistry || pub.Polls[0].Name != "web" || pub.Next == nil || pub.Application != "shop" || pub.Delivery != 1 {
		t.Errorf("published: %+v", pub)
	}
	if night.Next == nil || !night.Next.Equal(time.Date(2026, 1, 6, 1, 0, 0, 0, time.UTC)) || night.Last != nil || night.From != "dev" {
		t.Errorf("nightly: %+v", night)
	}
	if rest := want[api.List[api.Trigger]](t, p.site, call{path: "/api/v1/triggers?limit=9&after=shop/nightly", token: viewer}); len(rest.Items) != 2 || rest.Items[1].Name != "byhand" {
		t.Errorf("the rest: %+v", rest)
	}
	refuse(t, p.site, call{path: "/api/v1/triggers?application=none", token: viewer}, fault.NotFound, "")
	refuse(t, p.site, call{path: "/api/v1/triggers/shop/none", token: viewer}, fault.NotFound, "")

	pause := call{method: "POST", path: "/api/v1/triggers/shop/published/pause", token: releaser, body: `{"reason":"holidays"}`}
	if got := want[api.Trigger](t, p.site, pause); got.Paused == nil || got.Paused.By != "a-releaser" || got.Paused.Reason != "holidays" || got.Paused.At.IsZero() {
		t.Errorf("paused: %+v", got.Paused)
	}
	p.ship("1.2.0", true)
	if h := want[api.Handoff](t, p.site, call{path: "/api/v1/handoffs/3", token: viewer}); h.State != bridge.Ignored || !strings.Contains(h.Reason, "holidays") {
		t.Errorf("while it is paused: %+v", h)
	}
	resume := call{method: "POST", path: "/api/v1/triggers/shop/published/resume", token: releaser}
	if got := want[api.Trigger](t, p.site, resume); got.Paused != nil {
		t.Errorf("resumed: %+v", got.Paused)
	}
	pause.path = "/api/v1/triggers/shop/none/pause"
	refuse(t, p.site, pause, fault.NotFound, "")
	pause.path, pause.body = "/api/v1/triggers/shop/published/pause", `{"reason":"`+strings.Repeat("x", 1001)+`"}`
	refuse(t, p.site, pause, fault.TooLarge, "reason")

	try := func(trigger, body string) call {
		return call{method: "POST", path: "/api/v1/triggers/shop/" + trigger + "/test", token: p.secret[identity.Developer], body: body}
	}
	got := want[api.TriggerTest](t, p.site, try("published", `{"event":3}`))
	if got.State != bridge.Accepted || got.ID != 0 || !slices.Equal(got.Opens, []string{"dev"}) || got.Version != "1.2.0" || len(got.Checks) == 0 {
		t.Errorf("tested: %+v", got)
	}
	if got := want[api.TriggerTest](t, p.site, try("ticket", `{"event":3}`)); got.State != bridge.Ignored || !strings.Contains(got.Reason, "receiver tickets") || len(got.Opens) != 0 {
		t.Errorf("at another trigger: %+v", got)
	}
	if all := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs", token: viewer}); len(all.Items) != 3 {
		t.Errorf("a test had an effect: %+v", all)
	}
	refuse(t, p.site, try("published", `{}`), fault.Invalid, "event")
	refuse(t, p.site, try("published", `{"event":99}`), fault.NotFound, "")
	refuse(t, p.site, try("none", `{"event":1}`), fault.NotFound, "")
}

// What waits is shown with when it is looked at again, on the page too.
func TestWaiting(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	secret := p.receiver(t, "tickets", "generic")
	p.send(t, hook("tickets", `{"status":"Approved","version":"1.0.0"}`, "Authorization", "Bearer "+secret))
	p.settle()
	list := want[api.List[api.Handoff]](t, p.site, call{path: "/api/v1/handoffs?state=waiting", token: p.secret[identity.Viewer]})
	if len(list.Items) != 1 || list.Items[0].Until == nil || list.Items[0].Look == nil || list.Items[0].Image != "" || list.Items[0].Version != "1.0.0" {
		t.Fatalf("waiting: %+v", list)
	}
	x := want[api.Explanation](t, p.site, call{path: "/api/v1/handoffs/1/explain", token: p.secret[identity.Viewer]})
	if last := x.Story[len(x.Story)-1]; !strings.HasPrefix(last, "It waits: ") || !strings.Contains(last, "refused at 2026-01-05 10:00:00 UTC") {
		t.Errorf("the story ends: %s", last)
	}
	wants(t, p.look(t), `<span class="chip wait">waiting</span> <strong>1.0.0</strong>`, "trigger ticket on webhook")
	p.ship("1.0.0", true)
	p.settle()
	if h := want[api.Handoff](t, p.site, call{path: "/api/v1/handoffs/1", token: p.secret[identity.Viewer]}); h.State != bridge.Accepted || h.Actor != "tickets" || len(h.Asked) != 1 {
		t.Errorf("once it crossed: %+v", h)
	}
}

func TestPromoteByTrigger(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.applyFile(crossings)
	p.ship("1.0.0", true)
	ask := func(in api.NewPromotion, header ...string) call {
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		c := hook("", string(b), append(header, "Content-Type", "application/json")...)
		c.path, c.token = "/api/v1/promotions", p.secret[identity.Developer]
		return c
	}
	good := api.NewPromotion{Release: "shop@1.0.0", Trigger: "byhand", Inputs: map[string]any{"reason": "launch", "batch": 3}}
	first := want[api.Promotion](t, p.site, ask(good, "Idempotency-Key", "k1"))
	if first.Environment != "production" || first.Handoff == 0 || first.Requester != "a-developer" {
		t.Fatalf("asked: %+v", first)
	}
	second := want[api.Promotion](t, p.site, ask(good, "Idempotency-Key", "k1"))
	if second.ID != first.ID || second.Handoff != first.Handoff || len(second.Causes) != 1 {
		t.Errorf("again: %+v", second)
	}
	keyed := good
	keyed.Key = "k1"
	if third := want[api.Promotion](t, p.site, ask(keyed)); third.Handoff != first.Handoff {
		t.Errorf("with the key as a field: %+v", third)
	}
	other := ask(good, "Idempotency-Key", "k1")
	other.token = p.secret[identity.Approver]
	if got := want[api.Promotion](t, p.site, other); got.ID != first.ID || got.Handoff == first.Handoff || len(got.Causes) != 2 {
		t.Errorf("another person with the same key: %+v", got)
	}
	h := want[api.Handoff](t, p.site, call{path: "/api/v1/handoffs/" + itoa(int(first.Handoff)), token: p.secret[identity.Viewer]})
	if h.Trigger != "byhand" || h.Actor != "a-developer" || h.State != bridge.Accepted || h.Image != "" {
		t.Errorf("the handoff: %+v", h)
	}
	p.ship("1.1.0", true)
	moved := good
	moved.Release = "shop@1.1.0"
	refuse(t, p.site, ask(moved, "Idempotency-Key", "k1"), fault.Conflict, "key")

	bad := good
	bad.Inputs = map[string]any{"batch": "many"}
	refuse(t, p.site, ask(bad), fault.Invalid, "inputs")
	bad = good
	bad.Trigger = "published"
	refuse(t, p.site, ask(bad), fault.NotFound, "trigger")
	bad = good
	bad.Environment = "dev"
	refuse(t, p.site, ask(bad), fault.Invalid, "environment")
	refuse(t, p.site, ask(api.NewPromotion{Release: "shop@1.0.0", Environment: "dev", Inputs: map[string]any{"x": 1}}), fault.Invalid, "inputs")
	refuse(t, p.site, ask(api.NewPromotion{Release: "shop@9.0.0", Environment: "dev"}), fault.NotFound, "")
	refuse(t, p.site, ask(good, "Idempotency-Key", strings.Repeat("k", 201)), fault.Invalid, "key")
	pause := call{method: "POST", path: "/api/v1/triggers/shop/byhand/pause", token: p.secret[identity.Releaser], body: `{}`}
	want[api.Trigger](t, p.site, pause)
	refuse(t, p.site, ask(good), fault.Blocked, "")
}

// The same request that comes many times at once asks once.
func TestPromoteAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.apply()
	p.ship("1.0.0", true)
	c := hook("", `{"release":"shop@1.0.0","environment":"production","key":"k"}`, "Content-Type", "application/json")
	c.path, c.token = "/api/v1/promotions", p.secret[identity.Developer]
	var all sync.WaitGroup
	handoffs := make([]int64, 8)
	for i := range handoffs {
		all.Go(func() {
			resp, body := p.send(t, c)
			var got api.Promotion
			if err := json.Unmarshal(body, &got); err != nil || resp.StatusCode != 201 {
				t.Errorf("answer %d %s", resp.StatusCode, body)
			}
			handoffs[i] = got.Handoff
		})
	}
	all.Wait()
	if one := slices.Compact(handoffs); len(one) != 1 || one[0] == 0 {
		t.Errorf("handoffs %v", handoffs)
	}
}
