// Package cd keeps the bridge's and the CD plane's rows in cd.db: documents, events,
// handoffs, releases, clocks, environments, promotions. It implements bridge.Ledger,
// bridge.Clocks, bridge.TrustStore, cd.Store and cd.Documents over internal/store.
//
// Deliveries of senders that arrive at once are kept in one transaction. Text from outside
// that no database takes (NUL, not UTF-8) is kept with U+FFFD in its place, and in keys by
// its digest, so that nothing is lost for its sake.
//
// Each change is one transaction that holds the rows, the audit entries and the tasks that
// follow. The tasks are named by the constants below; internal/app hands them to the planes.
package cd

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// Names of the tasks that this store enqueues.
const (
	TaskEvent     = "event.process"  // ID is the event's
	TaskHandoff   = "handoff.look"   // ID is the handoff's, which waits
	TaskClock     = "clock.ring"     // ID and Version are the clock's
	TaskPromotion = "promotion.work" // ID and Version are the promotion's
)

// pageMax is the most rows that one page of a listing has.
const pageMax = 200

//go:embed migrations/*.sql
var files embed.FS

// Store is the CD plane's database. It is safe for concurrent use.
type Store struct {
	db           *store.DB
	inbox        inbox
	arrivals     arrivals
	applications sync.Map // name → bridge.Application, as it was read last; what they hold is never changed
	rawMax       int64    // bytes of deliveries as they arrived
}

// Migrations are the plane's schema, for store.Config.
func Migrations() fs.FS {
	sub, err := fs.Sub(files, "migrations")
	if err != nil {
		panic("store/cd: the migrations are not embedded: " + err.Error())
	}
	return sub
}

// Open opens cd.db; cfg's Plane and Migrations are set here.
func Open(ctx context.Context, cfg store.Config) (*Store, error) {
	cfg.Plane, cfg.Migrations = "cd", Migrations()
	db, err := store.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, rawMax: rawMax, arrivals: arrivals{signal: make(chan struct{}, 1)}}
	s.arrivals.lag() // what a crash left
	return s, nil
}

// DB is the engine below: for the queue, tokens and the audit log.
func (s *Store) DB() *store.DB { return s.db }

// Close closes the database; see store.DB.
func (s *Store) Close() error { return s.db.Close() }

func (s *Store) read() *sqlc.Queries { return sqlc.New(s.db.Reader()) }

// in runs fn with the queries of one transaction.
func (s *Store) in(ctx context.Context, fn func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error { return fn(ctx, tx, sqlc.New(tx.SQL)) })
}

// found turns "no row" into a fault that names what is missing, with the command that lists what there is.
func found(err error, hint, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, format, args...).WithHint("%s", hint)
	}
	return store.Fault(err)
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("store/cd: a %T does not marshal: %v", v, err))
	}
	return string(b)
}

func unmarshal[T any](body, what string) (T, error) {
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		return v, fmt.Errorf("read the stored %s: %w", what, err)
	}
	return v, nil
}

func page(limit int) int32 {
	if limit <= 0 {
		return 50
	}
	return int32(min(limit, pageMax))
}

// before is the bound of a listing that goes from the newest down: 0 means from the top.
func before(id int64) int64 {
	if id <= 0 {
		return 1<<63 - 1
	}
	return id
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// entry is an audit entry about one noun.
func entry(actor, action, subject string) audit.Entry {
	return audit.Entry{Actor: actor, Action: action, Subject: subject}
}
