package process

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// environment is one environment: its address, its versions and how traffic is split.
// The methods that change it are called by whoever holds its turn.
type environment struct {
	ref      cd.EnvironmentRef
	target   *Target
	turn     chan struct{} // holds one token while somebody changes the environment
	balance  balance
	retiring sync.WaitGroup // versions that are being drained and stopped

	mu       sync.Mutex // guards what follows, for Observe
	front    *front     // nil: no address
	versions map[string]*version
	weights  map[string]int
}

func newEnvironment(t *Target, ref cd.EnvironmentRef) *environment {
	return &environment{
		ref: ref, target: t, turn: make(chan struct{}, 1),
		versions: map[string]*version{}, weights: map[string]int{},
	}
}

// lock waits for the environment's turn.
func (e *environment) lock(ctx context.Context) error {
	select {
	case e.turn <- struct{}{}:
		if err := cmp.Or(ctx.Err(), e.target.life.Err()); err != nil { // both were ready
			e.unlock()
			return err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *environment) unlock() { <-e.turn }

// apply makes the environment be as d says. The caller holds the turn.
func (e *environment) apply(ctx context.Context, d cd.Desired) (cd.Actual, error) {
	next, err := e.bind(ctx, d)
	if err != nil {
		return cd.Actual{}, err
	}
	started, err := e.start(ctx, d)
	if err == nil {
		err = e.awaitHealthy(ctx, d, started)
	}
	if err != nil {
		e.giveUp(ctx, d, started, next)
		return cd.Actual{}, err
	}
	old := e.swap(d, started)
	e.useFront(context.WithoutCancel(ctx), next)
	if err := e.retire(ctx, old); err != nil {
		return cd.Actual{}, err
	}
	return e.actual(), nil
}

// start starts what d lists and does not run, without waiting for its health.
func (e *environment) start(ctx context.Context, d cd.Desired) (map[string]*version, error) {
	started := map[string]*version{}
	for _, want := range d.Versions {
		id := identity(want)
		if e.versions[id] != nil {
			continue
		}
		img, err := e.target.images.ensure(ctx, want.Image)
		if err != nil {
			return started, err
		}
		v, err := newVersion(e.target, e.ref, want, img)
		if err != nil {
			return started, err
		}
		started[id] = v
		v.start()
	}
	return started, nil
}

// awaitHealthy waits until every version that must be healthy is.
func (e *environment) awaitHealthy(ctx context.Context, d cd.Desired, started map[string]*version) error {
	gains := func(want cd.Version) bool {
		id := identity(want)
		return started[id] != nil || want.Weight > e.weights[id]
	}
	replacing := slices.ContainsFunc(d.Versions, gains)
	errs := make([]error, len(d.Versions))
	var wg sync.WaitGroup
	for i, want := range d.Versions {
		if replacing && !gains(want) {
			continue
		}
		id := identity(want)
		v := started[id]
		if v == nil {
			v = e.versions[id]
		}
		wg.Go(func() { errs[i] = v.awaitHealthy(ctx) })
	}
	wg.Wait()
	return firstFault(errs)
}

// firstFault is the error that says most: a fault before the end of a context.
func firstFault(errs []error) error {
	for _, err := range errs {
		if fault.As(err) != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// giveUp takes back what a failed apply did. Where nothing ran before, what is healthy
// stays: after a start of the server a broken candidate must not keep the base away.
func (e *environment) giveUp(ctx context.Context, d cd.Desired, started map[string]*version, next *front) {
	keep := map[string]*version{}
	if len(e.versions) == 0 && ctx.Err() == nil {
		maps.Copy(keep, started)
		maps.DeleteFunc(keep, func(_ string, v *version) bool { return !v.health().healthy })
	}
	var stopping sync.WaitGroup
	for id, v := range started {
		if keep[id] == nil {
			stopping.Go(v.stop)
		}
	}
	stopping.Wait()
	switch {
	case len(keep) > 0:
		e.swap(d, keep)
		e.useFront(context.WithoutCancel(ctx), next)
	case next != nil && next != e.front:
		next.close(context.WithoutCancel(ctx))
	}
}

// swap makes the versions of d that run, with those just started, the ones that get
// traffic, in one step, and returns the versions that d does not list.
func (e *environment) swap(d cd.Desired, started map[string]*version) []*version {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.versions
	e.versions, e.weights = map[string]*version{}, map[string]int{}
	var lanes []lane
	for _, want := range d.Versions {
		id := identity(want)
		v := started[id]
		if v == nil {
			v = old[id]
			delete(old, id)
		}
		if v == nil { // listed, but it did not become healthy
			continue
		}
		e.versions[id], e.weights[id] = v, want.Weight
		if want.Weight > 0 {
			lanes = append(lanes, lane{version: v, weight: want.Weight})
		}
	}
	e.balance.set(lanes)
	return slices.Collect(maps.Values(old))
}

// retire drains and stops versions that get no traffic any more. When ctx ends first it
// returns ctx's error and the rest happens without the caller; close waits for it.
func (e *environment) retire(ctx context.Context, old []*version) error {
	if len(old) == 0 {
		return nil
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	for _, v := range old {
		all.Add(1)
		e.retiring.Go(func() {
			defer all.Done()
			v.drain()
			v.stop()
		})
	}
	e.retiring.Go(func() { all.Wait(); close(done) })
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// actual is what the environment is now.
func (e *environment) actual() cd.Actual {
	e.mu.Lock()
	defer e.mu.Unlock()
	var a cd.Actual
	if e.front != nil {
		a.Address = e.front.address
	}
	for _, id := range slices.Sorted(maps.Keys(e.versions)) {
		v := e.versions[id]
		h := v.health()
		a.Versions = append(a.Versions, cd.ActualVersion{
			Release: v.want.Release, Digest: v.want.Image.Digest, Weight: e.weights[id],
			Healthy: h.healthy, Reason: h.reason, Figures: v.figures.snapshot(),
		})
	}
	slices.SortStableFunc(a.Versions, func(x, y cd.ActualVersion) int {
		return strings.Compare(x.Digest.String(), y.Digest.String())
	})
	return a
}

// close answers what is in flight, for as long as ctx and the drain timeout allow, then
// stops everything and waits for it.
func (e *environment) close(ctx context.Context) {
	e.turn <- struct{}{} // soon free: Close has cancelled every Apply
	defer e.unlock()
	e.useFront(ctx, nil)
	for _, v := range e.swap(cd.Desired{Environment: e.ref}, nil) {
		e.retiring.Go(v.stop)
	}
	e.retiring.Wait()
}
