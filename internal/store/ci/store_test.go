package ci_test

import (
	"slices"
	"testing"

	"drawbridge/internal/bridge"
	plane "drawbridge/internal/ci"
	"drawbridge/internal/ci/citest"
	"drawbridge/internal/registry/registrytest"
	"drawbridge/internal/store"
	"drawbridge/internal/store/ci"
	"drawbridge/internal/store/storetest"
)

func open(t *testing.T, cfg store.Config) *ci.Store {
	t.Helper()
	s, err := ci.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("opening the store: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the store: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		suites(t, func(t *testing.T) *ci.Store { return open(t, storetest.SQLite(t, "ci", nil)) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		suites(t, func(t *testing.T) *ci.Store { return open(t, storetest.PostgresConfig(t, "ci", nil)) })
	})
}

// suites runs every suite of the ports that the store implements.
func suites(t *testing.T, open func(t *testing.T) *ci.Store) {
	t.Run("plane", func(t *testing.T) {
		t.Parallel()
		citest.Store(t, func(t *testing.T) plane.Store { return open(t) })
	})
	t.Run("registry", func(t *testing.T) {
		t.Parallel()
		registrytest.Rows(t, func(t *testing.T) registrytest.Backend {
			s := open(t)
			return registrytest.Backend{Rows: s, Events: func(t *testing.T) []string { return told(t, s) }}
		})
	})
}

// told lists the artifacts of the events in the outbox, in order.
func told(t *testing.T, s *ci.Store) []string {
	t.Helper()
	events, err := s.Unposted(t.Context(), 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range events {
		p, err := bridge.ParsePublished(e.Body)
		if err != nil {
			t.Fatalf("the event in the outbox: %v", err)
		}
		if p.Source != "/registry" || e.Source != p.Source {
			t.Errorf("source of the event = %q, want /registry", p.Source)
		}
		names = append(names, p.Artifact.String())
	}
	return slices.Clone(names)
}
