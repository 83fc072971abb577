package cd_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/cd/cdtest"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/store/storetest"
)

// guarded is a target that knows who may touch an environment: only the promotion that
// holds it by the rows, and never two at once.
type guarded struct {
	cdtest.Target
	store *storecd.Store
	mu    sync.Mutex
	wrong []string
}

func (g *guarded) Apply(ctx context.Context, key cd.Key, d cd.Desired) (cd.Actual, error) {
	row, err := g.store.Environment(ctx, d.Environment)
	if err != nil {
		return cd.Actual{}, err
	}
	p, err := g.store.Promotion(ctx, key.Promotion)
	if err != nil {
		return cd.Actual{}, err
	}
	// A worker that is late repeats an effect of a promotion that has ended meanwhile; the key
	// says so, and a real target looks at it. A promotion that has not ended must hold.
	if row.Active != key.Promotion && !p.State.Ended() {
		g.mu.Lock()
		g.wrong = append(g.wrong, fmt.Sprintf("%s for promotion %d (%s), but %d holds %s", key, p.ID, p.State, row.Active, row.Ref))
		g.mu.Unlock()
	}
	return g.Target.Apply(ctx, key, d)
}

// TestManyWorkers has two services of two replicas work the same promotions from eight
// goroutines, each task several times and out of order, while people decide.
func TestManyWorkers(t *testing.T) {
	storetest.Each(t, "cd", nil, func(t *testing.T, cfg store.Config) {
		w := newWorld(t, cfg)
		replicas := []*storecd.Store{w.Store, w.Store}
		if strings.HasPrefix(cfg.URL, "postgres") {
			replicas[1] = open(t, w.cfg)
		}
		// A person's request waits for ever where the environment before was given to a newer
		// release; here production comes after nothing, so that everything ends.
		w.apply(strings.Replace(delivery, "    after: [staging]\n", "", 1))
		target := &guarded{store: w.Store}
		const releases = 4
		services := make([]*cd.Service, len(replicas))
		for i, s := range replicas {
			services[i] = &cd.Service{Store: s, Verifier: believer{}, Target: target, Now: w.clock.now}
		}
		for i := range releases {
			w.clock.move(time.Second)
			r, _ := w.ship(fmt.Sprintf("1.%d.0", i))
			w.opened(r, "production", cd.Cause{Kind: cd.CauseManual, Actor: "alice"})
		}
		var stop atomic.Bool
		var workers sync.WaitGroup
		for i := range 8 {
			workers.Go(func() { toil(t, services[i%2], &stop) })
		}
		workers.Go(func() { agree(t, services[0], &stop) })
		w.untilAllEnded(&stop)
		workers.Wait()
		for _, what := range target.wrong {
			t.Error(what)
		}
		w.consistent()
	})
}

// toil works every promotion that moves, and now and then an old version of one, until stop.
func toil(t *testing.T, s *cd.Service, stop *atomic.Bool) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for ; !stop.Load(); <-pace.C {
		list, err := s.Store.Promotions(t.Context(), cd.PromotionFilter{Active: true, Limit: 100})
		if err != nil {
			t.Error(err)
			return
		}
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, p := range list {
			version := p.Version - int64(rand.IntN(2))
			err := s.Work(t.Context(), p.ID, version)
			if err != nil && fault.KindOf(err) != fault.Unavailable && !errors.Is(err, context.Canceled) {
				t.Errorf("work promotion %d: %v", p.ID, err)
				return
			}
		}
	}
}

// agree approves what waits for approval, by two people at once.
func agree(t *testing.T, s *cd.Service, stop *atomic.Bool) {
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for ; !stop.Load(); <-pace.C {
		list, err := s.Store.Promotions(t.Context(), cd.PromotionFilter{State: cd.Waiting, Limit: 100})
		if err != nil {
			t.Error(err)
			return
		}
		for _, p := range list {
			if p.Signal != cd.SignalApproval {
				continue
			}
			approve := func(actor string) func() error {
				return func() error {
					_, err := s.Approve(t.Context(), actor, p.ID, p.PlanDigest, "fine")
					return err
				}
			}
			for _, err := range race(approve("bob"), approve("carol"), approve("bob")) {
				if k := fault.KindOf(err); err != nil && k != fault.Conflict && k != fault.Forbidden {
					t.Errorf("approve promotion %d: %v", p.ID, err)
				}
			}
		}
	}
}

// untilAllEnded waits until nothing moves any more and tells the others to stop.
func (w *world) untilAllEnded(stop *atomic.Bool) {
	defer stop.Store(true)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	give := time.After(5 * time.Minute)
	for {
		list, err := w.Promotions(w.t.Context(), cd.PromotionFilter{Active: true})
		if err != nil {
			w.t.Error(err)
			return
		}
		if len(list) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-give:
			for _, p := range list {
				w.t.Errorf("promotion %d of %s to %s is %s: %s", p.ID, p.Plan.Version, p.Environment(), p.State, p.Reason)
			}
			return
		}
	}
}

// consistent compares the rows with the audit log and with each other.
func (w *world) consistent() {
	w.t.Helper()
	w.audited()
	list, err := w.DB().AuditEntries(w.t.Context(), 0, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	seen := map[string]int64{} // promotion → versions that were told
	once := map[string]bool{}
	for _, e := range list {
		v := e.Detail["version"]
		if !strings.HasPrefix(e.Subject, "promotion/") || e.Detail["from"] == "" {
			continue
		}
		if once[e.Subject+" "+v] {
			w.t.Errorf("%s came to version %s twice", e.Subject, v)
		}
		once[e.Subject+" "+v] = true
		seen[e.Subject]++
	}
	all, err := w.Promotions(w.t.Context(), cd.PromotionFilter{Limit: 200})
	if err != nil {
		w.t.Fatal(err)
	}
	done := map[string]bool{}
	for _, p := range all {
		if got := seen[fmt.Sprint("promotion/", p.ID)]; got != p.Version-1 {
			w.t.Errorf("promotion %d has version %d and %d audit entries of moves", p.ID, p.Version, got)
		}
		done[p.Environment().Name] = done[p.Environment().Name] || p.State == cd.Done
	}
	rows, err := w.Environments(w.t.Context(), "shop")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Active != 0 || r.Live == 0 || !done[r.Ref.Name] {
			w.t.Errorf("in the end %s is %+v", r.Ref, r)
			continue
		}
		if p := w.promotion(r.Live); p.State != cd.Done {
			w.t.Errorf("%s runs promotion %d, which is %s", r.Ref, p.ID, p.State)
		}
	}
}
