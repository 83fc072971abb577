// Package storetest opens databases for tests and holds the conformance suite that both
// kinds of database pass.
package storetest

import (
	"crypto/rand"
	"io/fs"
	"path/filepath"
	"testing"

	"drawbridge/internal/audit"
	"drawbridge/internal/store"
)

// Key makes an audit key for a plane's log.
func Key(t testing.TB, plane string) audit.Key {
	t.Helper()
	private, err := audit.GenerateKey(rand.Reader, plane)
	if err != nil {
		t.Fatal(err)
	}
	key, err := audit.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// SQLite is a configuration for a new SQLite database that is removed with the test.
// Migrations may be nil.
func SQLite(t testing.TB, plane string, migrations fs.FS) store.Config {
	t.Helper()
	return store.Config{
		URL:   "sqlite:" + filepath.Join(t.TempDir(), plane+".db"),
		Plane: plane, Migrations: migrations, AuditKey: Key(t, plane),
	}
}

// Open opens the database that cfg names and closes it with the test.
func Open(t testing.TB, cfg store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("opening the database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
	return db
}

// Each runs fn on a new SQLite and on a new PostgreSQL database, as subtests.
func Each(t *testing.T, plane string, migrations fs.FS, fn func(t *testing.T, cfg store.Config)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t, plane, migrations)) })
	t.Run("postgres", func(t *testing.T) { fn(t, PostgresConfig(t, plane, migrations)) })
}
