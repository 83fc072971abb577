package process

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// Named is an environment with what it is.
type Named struct {
	Environment cd.EnvironmentRef
	Actual      cd.Actual
}

// Apply implements cd.Target. Beyond its contract:
//
//   - A version is what it was started as: release, name, digest and spec. One that differs
//     in any of them (the address aside) is another version and gets processes of its own.
//   - A version that ran before, does not gain traffic, and stands beside one that is new or
//     gains traffic need not be healthy: a broken version must not block its own replacement.
//   - Where nothing ran before, as after a start of the server, the healthy versions stay and
//     serve although another one did not become healthy.
//   - No versions and an address keep the address, which answers 503; no versions and no
//     address forget the environment.
//   - When ctx ends what this call started is stopped again, and ctx's error is returned; a
//     version that is being drained is still drained.
//
// Faults: Invalid when d contradicts itself; Blocked when a version is not healthy;
// Unavailable when the address is taken or the target is closed; Refused, TooLarge and
// whatever Images gives when the image cannot be unpacked.
func (t *Target) Apply(ctx context.Context, key cd.Key, d cd.Desired) (cd.Actual, error) {
	if err := check(d); err != nil {
		return cd.Actual{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()

	e := t.environment(d.Environment)
	if err := e.lock(ctx); err != nil {
		return cd.Actual{}, t.closedOr(err)
	}
	defer e.unlock()
	actual, err := e.apply(ctx, d)
	if err != nil {
		return cd.Actual{}, t.closedOr(err)
	}
	t.config.Log.InfoContext(ctx, "environment applied",
		slog.String("environment", d.Environment.String()), slog.String("key", key.String()), slog.Int("versions", len(d.Versions)))
	return actual, nil
}

// closedOr says why ctx ended when it was Close that ended it.
func (t *Target) closedOr(err error) error {
	if t.life.Err() != nil && errors.Is(err, context.Canceled) {
		return fault.New(fault.Unavailable, "the process target is shutting down").WithHint("repeat the call once the server is up again")
	}
	return err
}

// Observe implements cd.Target. It never waits for an Apply.
func (t *Target) Observe(_ context.Context, ref cd.EnvironmentRef) (cd.Actual, error) {
	t.mu.Lock()
	e := t.environments[ref]
	t.mu.Unlock()
	if e == nil {
		return cd.Actual{}, nil
	}
	return e.actual(), nil
}

// All is every environment that was applied, sorted by application and name, for metrics
// and status pages.
func (t *Target) All() []Named {
	t.mu.Lock()
	all := make([]*environment, 0, len(t.environments))
	for _, e := range t.environments {
		all = append(all, e)
	}
	t.mu.Unlock()
	out := make([]Named, 0, len(all))
	for _, e := range all {
		if a := e.actual(); a.Address != "" || len(a.Versions) > 0 {
			out = append(out, Named{e.ref, a})
		}
	}
	slices.SortFunc(out, func(a, b Named) int {
		return cmp.Or(cmp.Compare(a.Environment.Application, b.Environment.Application), cmp.Compare(a.Environment.Name, b.Environment.Name))
	})
	return out
}

// Close ends every Apply, answers the requests that are in flight (at most the drain
// timeout, or until ctx ends), stops every process and returns once all have ended. The
// target cannot be used after it. It is idempotent.
func (t *Target) Close(ctx context.Context) error {
	t.end()
	t.mu.Lock()
	all := make([]*environment, 0, len(t.environments))
	for _, e := range t.environments {
		all = append(all, e)
	}
	t.mu.Unlock()
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Go(func() { e.close(ctx) })
	}
	wg.Wait()
	return nil
}

// environment is the one object for ref, made when it is missing.
func (t *Target) environment(ref cd.EnvironmentRef) *environment {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.environments[ref]
	if e == nil {
		e = newEnvironment(t, ref)
		t.environments[ref] = e
	}
	return e
}
