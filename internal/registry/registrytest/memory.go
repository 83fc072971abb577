// Package registrytest holds what tests of registries need: rows kept in memory, the suite
// that every implementation of registry.Rows passes, and a running embedded registry.
package registrytest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
)

// Memory is registry.Rows in memory: it forgets all when the process ends. The zero value
// is ready and safe for concurrent use.
type Memory struct {
	mu        sync.Mutex
	tags      map[tagKey]registry.Tag
	referrers map[referrerKey]registry.Referrer
	events    []registry.Tag
	failures  []error
}

type tagKey struct{ repository, name string }

type referrerKey struct {
	repository        string
	subject, manifest artifact.Digest
}

// FailNext makes the next writes fail, each with one of errs, before they change anything.
func (m *Memory) FailNext(errs ...error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = append(m.failures, errs...)
}

// Events returns the tag writes that were reported, in the order of their commits.
func (m *Memory) Events() []registry.Tag {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.events)
}

// Tag returns the row of a tag.
func (m *Memory) Tag(repository, name string) (registry.Tag, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tags[tagKey{repository, name}]
	return t, ok
}

// WriteTag implements registry.Rows.
func (m *Memory) WriteTag(ctx context.Context, t registry.Tag) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return err
	}
	key := tagKey{t.Repository, t.Name}
	if old, ok := m.tags[key]; ok {
		if old.Digest != t.Digest {
			return fault.New(fault.Conflict, "tag %s of %s names %s already; tags do not move", t.Name, t.Repository, old.Digest)
		}
		return nil
	}
	if m.tags == nil {
		m.tags = map[tagKey]registry.Tag{}
	}
	m.tags[key] = t
	if t.Report {
		m.events = append(m.events, t)
	}
	return nil
}

// AddReferrer implements registry.Rows.
func (m *Memory) AddReferrer(ctx context.Context, r registry.Referrer) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(ctx); err != nil {
		return err
	}
	key := referrerKey{r.Repository, r.Subject, r.Manifest}
	if _, ok := m.referrers[key]; ok {
		return nil
	}
	if m.referrers == nil {
		m.referrers = map[referrerKey]registry.Referrer{}
	}
	r.Annotations = maps.Clone(r.Annotations)
	m.referrers[key] = r
	return nil
}

// Referrers implements registry.Rows.
func (m *Memory) Referrers(ctx context.Context, q registry.ReferrerQuery) ([]registry.Referrer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var found []registry.Referrer
	for key, r := range m.referrers {
		if key.repository == q.Repository && key.subject == q.Subject &&
			(q.ArtifactType == "" || r.ArtifactType == q.ArtifactType) && r.Manifest.Hex() > q.After.Hex() {
			r.Annotations = maps.Clone(r.Annotations)
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b registry.Referrer) int { return cmp.Compare(a.Manifest.Hex(), b.Manifest.Hex()) })
	return found[:min(len(found), max(q.Limit, 0))], nil
}

// begin stands for the start of a write's transaction. The caller holds the lock.
func (m *Memory) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(m.failures) > 0 {
		err := m.failures[0]
		m.failures = m.failures[1:]
		return err
	}
	return nil
}
