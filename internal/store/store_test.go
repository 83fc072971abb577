package store_test

import (
	"testing"

	"drawbridge/internal/store"
	"drawbridge/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Config { return storetest.SQLite(t, "ci", storetest.Facts()) })
}

func TestPostgres(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Config { return storetest.PostgresConfig(t, "cd", storetest.Facts()) })
}
