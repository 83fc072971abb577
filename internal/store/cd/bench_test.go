package cd_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"drawbridge/internal/bridge"
	"drawbridge/internal/store"
	storecd "drawbridge/internal/store/cd"
	"drawbridge/internal/store/storetest"
)

// BenchmarkReceive measures how many deliveries of 300 bytes are kept durably.
func BenchmarkReceive(b *testing.B) { benchmarks(b, receive) }

// BenchmarkRow measures what the database makes of one plain row per transaction.
func BenchmarkRow(b *testing.B) { benchmarks(b, row) }

func benchmarks(b *testing.B, post func(context.Context, *storecd.Store, int64) error) {
	b.Helper()
	for name, open := range map[string]func(*testing.B) store.Config{
		"sqlite":   func(b *testing.B) store.Config { b.Helper(); return storetest.SQLite(b, "cd", nil) },
		"postgres": func(b *testing.B) store.Config { b.Helper(); return storetest.PostgresConfig(b, "cd", nil) },
	} {
		for _, senders := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", name, senders), func(b *testing.B) { benchmark(b, open(b), senders, post) })
		}
	}
}

func benchmark(b *testing.B, cfg store.Config, senders int, post func(context.Context, *storecd.Store, int64) error) {
	b.Helper()
	s, err := storecd.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var n atomic.Int64
	var done sync.WaitGroup
	b.ResetTimer()
	for range senders {
		done.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				if err := post(b.Context(), s, i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	done.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

var benchBody = []byte(`{"pad":"` + strings.Repeat("x", 290) + `"}`)

func receive(ctx context.Context, s *storecd.Store, i int64) error {
	_, _, err := s.Receive(ctx, bridge.Message{
		Receiver: "github", Sender: "github", Key: fmt.Sprintf("5e0c1d2a-0000-4000-8000-%012d", i), Applications: []string{"shop"},
		Headers: map[string]string{"content-type": "application/json", "x-github-event": "registry_package"}, Body: benchBody,
		Facts: []bridge.Fact{{
			Kind: bridge.KindArtifact, Type: "registry_package", Source: "https://github.com/acme/shop", Subject: "ghcr.io/acme/shop:1.2.3",
			Artifact: image("1.2.3"),
		}},
	})
	return err
}

func row(ctx context.Context, s *storecd.Store, i int64) error {
	return s.DB().InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SQL.ExecContext(ctx, `INSERT INTO event_raw (event, headers, body, upto, received_ms) VALUES ($1, '', $2, 0, 0)`, i, benchBody)
		return err
	})
}
