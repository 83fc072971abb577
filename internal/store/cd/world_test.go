package cd_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/store"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/store/storetest"
)

// delivery has one environment that a trigger asks for, one that opens by itself after it,
// and one where a person must agree.
const delivery = `apiVersion: drawbridge/v1
kind: Delivery
name: shop
artifacts:
  - {name: web, image: shop/web}
triggers:
  - {name: published, on: artifact, artifact: web, tags: {semver: ">=1.0.0-0"}, promote: dev}
environments:
  - name: dev
    target: {process: {artifact: web, command: [./web]}}
  - name: staging
    after: [dev]
    auto: true
    target: {process: {artifact: web, command: [./web]}}
  - name: production
    after: [staging]
    approval: {required: 1, exclude: [requester]}
    target: {process: {artifact: web, command: [./web]}}
`

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// clock is a clock that stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// world is a CD database with the delivery above.
type world struct {
	*storecd.Store
	t     *testing.T
	clock *clock
	cfg   store.Config
}

// each runs fn over SQLite and PostgreSQL.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, "cd", nil, func(t *testing.T, cfg store.Config) { fn(t, newWorld(t, cfg)) })
}

func newWorld(t *testing.T, cfg store.Config) *world {
	t.Helper()
	c := &clock{at: start}
	cfg.Now = c.now
	w := &world{Store: open(t, cfg), t: t, clock: c, cfg: cfg}
	w.apply(delivery)
	return w
}

func open(t *testing.T, cfg store.Config) *storecd.Store {
	t.Helper()
	s, err := storecd.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (w *world) apply(text string) cd.Applied {
	w.t.Helper()
	a, err := cd.ApplyDelivery(w.t.Context(), w.Store, "ops", "delivery.yaml", []byte(text), false)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func digestOf(version string) artifact.Digest { return artifact.DigestOf([]byte(version)) }

func image(version string) artifact.Reference {
	return artifact.Reference{Repository: "shop/web", Tag: version, Digest: digestOf(version)}
}

// published is the delivery that tells of a version's n-th publication.
func (w *world) published(version string, n int) bridge.Message {
	id := fmt.Sprintf("%s/%d", version, n)
	return bridge.Message{
		Receiver: bridge.DoorAPI, Sender: "ci", Key: "/ci " + id,
		Headers: map[string]string{"content-type": "application/json"}, Body: []byte(`{"id":"` + id + `"}`),
		Facts: []bridge.Fact{{
			Kind: bridge.KindArtifact, Type: bridge.PublishedType, Source: "/ci", Subject: "shop/web:" + version, At: w.clock.now(),
			Chain: "chain", Artifact: image(version),
		}},
	}
}

func (w *world) receive(version string, n int) bridge.Event {
	w.t.Helper()
	return w.received(w.published(version, n))
}

// received keeps a delivery with one fact.
func (w *world) received(m bridge.Message) bridge.Event {
	w.t.Helper()
	kept, fresh, err := w.Receive(w.t.Context(), m)
	if err != nil || !fresh || len(kept) != 1 {
		w.t.Fatalf("receive %s: %d events, fresh %v, %v", m.Key, len(kept), fresh, err)
	}
	return kept[0]
}

// cross writes a crossing and returns its handoffs' ids.
func (w *world) cross(c bridge.Crossing) []int64 {
	w.t.Helper()
	ids, err := w.Cross(w.t.Context(), c)
	if err != nil || len(ids) != len(c.Outcomes) {
		w.t.Fatalf("cross event %d: handoffs %v, %v", c.Event.ID, ids, err)
	}
	return ids
}

func (w *world) release(version string) bridge.Release {
	arts := map[string]artifact.Digest{"web": digestOf(version)}
	ev := bridge.EvidenceSet{"web": evidence()}
	return bridge.Release{
		ID: bridge.ReleaseID("shop", arts), Application: "shop", Version: version, Artifacts: arts, Evidence: ev, Snapshot: ev.Hash(),
		Delivery: 1, Trust: 1, Author: "alice", Authors: []string{"alice"}, Chain: "chain", Accepted: w.clock.now(), Built: w.clock.now(),
	}
}

func evidence() attest.Evidence { return attest.Evidence{Attestations: make([]attest.Attestation, 1)} }

// accepted is the crossing of an event that gives a release.
func (w *world) accepted(ev bridge.Event, trigger string) bridge.Crossing {
	w.t.Helper()
	r := w.release(ev.Fact.Artifact.Tag)
	starts, err := cd.Planner{Reader: w.Store}.Plan(w.t.Context(), bridge.Request{
		Release: r, Environment: "dev", New: true, Cause: bridge.Cause{Kind: bridge.ByTrigger, Actor: r.Author, Note: "trigger " + trigger},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	h := w.handoff(ev, trigger, bridge.Accepted, "verified")
	h.Release, h.Once, h.Version = r.ID, r.ID, r.Version
	return bridge.Crossing{Event: ev, Outcomes: []bridge.Outcome{{Handoff: h, Release: &r, Starts: starts}}}
}

func (w *world) handoff(ev bridge.Event, trigger string, state bridge.HandoffState, reason string) bridge.Handoff {
	return bridge.Handoff{
		Event: ev.ID, Application: "shop", Trigger: trigger, State: state, Reason: reason,
		Image: ev.Fact.Artifact, Delivery: 1, At: w.clock.now(), Chain: ev.Fact.Chain,
	}
}

// outcome is the crossing of an event that gives no release.
func (w *world) outcome(ev bridge.Event, trigger string, state bridge.HandoffState, reason string) bridge.Crossing {
	h := w.handoff(ev, trigger, state, reason)
	if state == bridge.Waiting {
		h.Look, h.Until = w.clock.now().Add(time.Minute), w.clock.now().Add(time.Hour)
	}
	return bridge.Crossing{Event: ev, Outcomes: []bridge.Outcome{{Handoff: h}}}
}

// ship has a version cross and returns its release and its promotion into dev.
func (w *world) ship(version string) (bridge.Release, cd.Promotion) {
	w.t.Helper()
	w.cross(w.accepted(w.receive(version, 1), "published"))
	list, err := w.Promotions(w.t.Context(), cd.PromotionFilter{Environment: env("dev"), Limit: 1})
	if err != nil || len(list) != 1 || list[0].Plan.Version != version {
		w.t.Fatalf("promotions after %s crossed: %+v, %v", version, list, err)
	}
	return w.release(version), list[0]
}

func env(name string) cd.EnvironmentRef { return cd.EnvironmentRef{Application: "shop", Name: name} }

func (w *world) promotion(id cd.PromotionID) cd.Promotion {
	w.t.Helper()
	p, err := w.Promotion(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// opened opens a promotion of a release that has crossed.
func (w *world) opened(r bridge.Release, environment string, cause cd.Cause) cd.Promotion {
	w.t.Helper()
	list, err := w.Open(w.t.Context(), []cd.Promotion{w.fresh(r, environment, cause)})
	if err != nil || len(list) != 1 {
		w.t.Fatalf("open: %d promotions, %v", len(list), err)
	}
	return list[0]
}

// fresh is a promotion that is not opened yet.
func (w *world) fresh(r bridge.Release, environment string, cause cd.Cause) cd.Promotion {
	w.t.Helper()
	plan, err := w.service(nil).Plan(w.t.Context(), r.ID, environment)
	if err != nil {
		w.t.Fatal(err)
	}
	cause.At = w.clock.now()
	return cd.NewPromotion(plan, r, cause)
}

// service is the CD plane on this database.
func (w *world) service(target cd.Target) *cd.Service {
	return &cd.Service{Store: w.Store, Verifier: believer{}, Target: target, Now: w.clock.now}
}

// believer believes everything.
type believer struct{}

func (believer) VerifySet(_ context.Context, _ []bridge.ArtifactRule, set map[string]artifact.Digest, _ time.Time) (bridge.SetVerdict, error) {
	v := bridge.SetVerdict{Evidence: bridge.EvidenceSet{}, Trust: 1}
	for name := range set {
		v.Evidence[name] = evidence()
	}
	return v, nil
}

// moved is p after an event, committed.
func (w *world) moved(p cd.Promotion, ev cd.Event, c cd.Change) cd.Promotion {
	w.t.Helper()
	now, err := w.commit(p, ev, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return now
}

func (w *world) commit(p cd.Promotion, ev cd.Event, c cd.Change) (cd.Promotion, error) {
	now, err := p.Apply(ev, w.clock.now())
	if err != nil {
		return p, err
	}
	c.Was, c.Now = p, now
	if c.Actor == "" {
		c.Actor = "drawbridge"
	}
	if c.Action == "" {
		c.Action = "promotion.step"
	}
	return now, w.Commit(w.t.Context(), c)
}

// walk moves p on until its current step is of a kind.
func (w *world) walk(p cd.Promotion, to cd.StepKind) cd.Promotion {
	w.t.Helper()
	if p.State == cd.Queued {
		p = w.moved(p, cd.Event{Kind: cd.Begin, Reason: "begun"}, cd.Change{})
	}
	for p.Current().Kind != to {
		if p.State.Ended() {
			w.t.Fatalf("promotion %d is %s and never came to %s", p.ID, p.State, to)
		}
		p = w.moved(p, cd.Event{Kind: cd.Advance, Reason: "done"}, cd.Change{})
	}
	return p
}

// count is the number that a query gives; a NULL fails.
func (w *world) count(query string, args ...any) int64 {
	w.t.Helper()
	var n int64
	if err := w.DB().Reader().QueryRowContext(w.t.Context(), query, args...).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// tasks is how many tasks there are of one noun's version.
// has compares what queries count.
func (w *world) has(want map[string]int64) {
	w.t.Helper()
	for query, n := range want {
		if got := w.count(query); got != n {
			w.t.Errorf("%s: %d, want %d", query, got, n)
		}
	}
}

// sort sorts what arrived: all of it is somebody's.
func (w *world) sort() {
	w.t.Helper()
	for {
		select {
		case <-w.Arrived():
		default:
			return
		}
		err := w.Sort(w.t.Context(), func(_ context.Context, batch []bridge.Event) (nobody, somebody []int64) {
			for _, e := range batch {
				somebody = append(somebody, e.ID)
			}
			return nil, somebody
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) tasks(name string, id, version int64) int64 {
	w.t.Helper()
	return w.count(`SELECT count(*) FROM river_job WHERE args ->> 'n' = $1 AND CAST(args ->> 'i' AS bigint) = $2 AND CAST(args ->> 'v' AS bigint) = $3`, name, id, version)
}

// entries is the audit log, as "action subject".
func (w *world) entries() []string {
	w.t.Helper()
	list, err := w.DB().AuditEntries(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		out = append(out, e.Action+" "+e.Subject)
	}
	return out
}

// audited fails unless the audit log proves itself.
func (w *world) audited() {
	w.t.Helper()
	err := w.DB().ReadAudit(w.t.Context(), func(ctx context.Context, log audit.Source) error {
		_, err := audit.Verify(ctx, log, w.DB().AuditVerifier(), nil)
		return err
	})
	if err != nil {
		w.t.Error(err)
	}
}

// race runs all of them at once and returns what each returned.
func race(list ...func() error) []error {
	errs := make([]error, len(list))
	var ready, done sync.WaitGroup
	gate := make(chan struct{})
	for i, fn := range list {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-gate
			errs[i] = fn()
		})
	}
	ready.Wait()
	close(gate)
	done.Wait()
	return errs
}

// succeeded is how many of them are nil.
func succeeded(errs []error) int {
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
		}
	}
	return n
}

// hostile are texts that must come back as they were.
func hostile() map[string]string {
	return map[string]string{
		"quotes":  `'"; DROP TABLE promotion; --`,
		"percent": "%_\\ %s %d $1 ?",
		"control": "a\x01\x1b[31m\r\n\tb",
		"unicode": "žluťoučký 🐎 \u202e",
		"json":    `{"a":"</script>"}`,
		"long":    strings.Repeat("ž", 900),
	}
}

// digests lets go-cmp compare digests, which have no exported field.
func digests() cmp.Option { return cmpopts.EquateComparable(artifact.Digest{}) }

// exec changes rows behind the store's back.
func (w *world) exec(query string) {
	w.t.Helper()
	err := w.DB().InTx(w.t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SQL.ExecContext(ctx, query)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// deleteTasks loses every task, as giving up on them would.
func deleteTasks(ctx context.Context, tx *store.Tx) error {
	_, err := tx.SQL.ExecContext(ctx, "DELETE FROM river_job")
	return err
}
