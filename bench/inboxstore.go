package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"drawbridge/internal/artifact"
	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/store"
	storecd "drawbridge/internal/store/cd"
)

// store is the inbox without HTTP, signatures and processing: what the ledger alone does.
func (i *inbox) store(ctx context.Context, url string) (err error) {
	if url == "" {
		url = "sqlite:" + filepath.Join(i.bench.dir, "inbox.db")
	}
	private, err := audit.GenerateKey(rand.Reader, "cd")
	if err != nil {
		return err
	}
	key, err := audit.ParseKey(private)
	if err != nil {
		return err
	}
	ledger, err := storecd.Open(ctx, store.Config{URL: url, AuditKey: key})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ledger.Close()) }()
	var kept, rows series
	for range manyRounds {
		r, err := i.bench.together(senders, plainCount, func(int) error {
			_, err := i.plain.db.ExecContext(ctx, "INSERT INTO fact (body) VALUES ($1)", string(registryPackage(i.next.Add(1))))
			return err
		})
		if err != nil {
			return err
		}
		rows = append(rows, r)
		r, err = i.bench.together(senders, manyCount, func(int) error { return keep(ctx, ledger, i.next.Add(1)) })
		if err != nil {
			return err
		}
		kept = append(kept, r)
	}
	i.row(fmt.Sprintf("the ledger alone, without HTTP, %d senders: deliveries per second", senders), "/s", kept,
		fmt.Sprintf("%d writers, each commits one row", senders), rows)
	return nil
}

// keep has the ledger keep what a delivery of GitHub gives.
func keep(ctx context.Context, ledger *storecd.Store, n int64) error {
	tag := fmt.Sprint("nightly-", n)
	_, fresh, err := ledger.Receive(ctx, bridge.Message{
		Receiver: "github", Sender: "github", Key: fmt.Sprintf("5e0c1d2a-0000-4000-8000-%012d", n),
		Headers: map[string]string{"x-github-event": "registry_package", "x-github-delivery": fmt.Sprintf("5e0c1d2a-0000-4000-8000-%012d", n)},
		Body:    registryPackage(n),
		Facts: []bridge.Fact{{
			Kind: bridge.KindArtifact, Type: "registry_package", Source: "https://github.com/acme/bench", Subject: "ghcr.io/acme/bench:" + tag,
			Actor: "octocat", Artifact: artifact.Reference{Host: "ghcr.io", Repository: "acme/bench", Tag: tag, Digest: digest(n)},
			Git: &bridge.GitRef{Repository: "https://github.com/acme/bench", Commit: fmt.Sprintf("%040x", n)},
		}},
	})
	if err == nil && !fresh {
		err = fmt.Errorf("delivery %d was there", n)
	}
	return err
}
