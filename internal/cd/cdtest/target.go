// Package cdtest holds a small target in memory for tests of the CD plane. It does what
// cd.Target promises, without running anything.
package cdtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// Target keeps what each environment should be and the figures that a test gives it. It
// is safe for concurrent use. The zero Target is ready.
type Target struct {
	mu      sync.Mutex
	envs    map[cd.EnvironmentRef]cd.Desired
	figures map[artifact.Digest]cd.Figures
	sick    map[artifact.Digest]string
	Calls   []string // "key environment version=weight …", in their order
}

// Apply is cd.Target's.
func (t *Target) Apply(_ context.Context, key cd.Key, d cd.Desired) (cd.Actual, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var call strings.Builder
	_, _ = fmt.Fprintf(&call, "%s %s", key, d.Environment.Name)
	for _, v := range d.Versions {
		_, _ = fmt.Fprintf(&call, " %s=%d", v.Name, v.Weight)
	}
	t.Calls = append(t.Calls, call.String())
	for _, v := range d.Versions {
		if why := t.sick[v.Image.Digest]; why != "" {
			return cd.Actual{}, fault.New(fault.Blocked, "%s is not healthy: %s", v.Name, why)
		}
	}
	if t.envs == nil {
		t.envs = map[cd.EnvironmentRef]cd.Desired{}
	}
	if strings.HasSuffix(d.Listen, ":0") {
		d.Listen = strings.TrimSuffix(d.Listen, "0") + "4711"
	}
	t.envs[d.Environment] = d
	return t.actual(d), nil
}

// Observe is cd.Target's.
func (t *Target) Observe(_ context.Context, ref cd.EnvironmentRef) (cd.Actual, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	d, ok := t.envs[ref]
	if !ok {
		return cd.Actual{}, nil
	}
	return t.actual(d), nil
}

func (t *Target) actual(d cd.Desired) cd.Actual {
	a := cd.Actual{Address: d.Listen}
	for _, v := range d.Versions {
		a.Versions = append(a.Versions, cd.ActualVersion{
			Release: v.Release, Digest: v.Image.Digest, Weight: v.Weight, Healthy: true, Figures: t.figures[v.Image.Digest],
		})
	}
	slices.SortFunc(a.Versions, func(x, y cd.ActualVersion) int { return strings.Compare(x.Digest.Hex(), y.Digest.Hex()) })
	return a
}

// Forget drops what runs, as a server does that is killed.
func (t *Target) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.envs = nil
}

// Serve sets the figures of the version that runs digest.
func (t *Target) Serve(d artifact.Digest, f cd.Figures) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.figures == nil {
		t.figures = map[artifact.Digest]cd.Figures{}
	}
	t.figures[d] = f
}

// Sicken makes every Apply with digest fail with why.
func (t *Target) Sicken(d artifact.Digest, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sick == nil {
		t.sick = map[artifact.Digest]string{}
	}
	t.sick[d] = why
}

// Desired is what an environment was told last that it should be; the zero value when nothing.
func (t *Target) Desired(ref cd.EnvironmentRef) cd.Desired {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.envs[ref]
}

// Running is the names and weights of what an environment runs: "1.0.0=90 1.1.0=10", sorted.
func (t *Target) Running(ref cd.EnvironmentRef) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]int{}
	for _, v := range t.envs[ref].Versions {
		out[v.Name] = v.Weight
	}
	return out
}
