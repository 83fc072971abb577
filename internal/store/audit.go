package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"drawbridge/internal/audit"
)

// auditLock is the advisory lock that makes appends serial on PostgreSQL.
const auditLock = 727102

const auditLockSQL = `SELECT pg_advisory_xact_lock($1)`

// writeAudit appends what Record collected, as the last thing before the commit.
func (tx *Tx) writeAudit(ctx context.Context) error {
	if len(tx.entries) == 0 {
		return nil
	}
	if !tx.db.engine.sqlite() {
		if _, err := tx.SQL.ExecContext(ctx, auditLockSQL, auditLock); err != nil {
			return err
		}
	}
	_, err := audit.Append(ctx, auditRows{tx.SQL}, tx.db.cfg.AuditKey, tx.entries...)
	return err
}

// auditRows is the log's storage within a transaction.
type auditRows struct{ tx *sql.Tx }

const auditSizeSQL = `SELECT coalesce(max(seq), 0) FROM audit_entry`

// Size counts the entries; the transaction excludes other appends.
func (r auditRows) Size(ctx context.Context) (int64, error) {
	var n int64
	err := r.tx.QueryRowContext(ctx, auditSizeSQL).Scan(&n)
	return n, err
}

const auditHashesSQL = `SELECT id, hash FROM audit_node WHERE id IN (%s)`

// Hashes reads stored hashes by index.
func (r auditRows) Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error) {
	at := make(map[int64]int, len(indexes))
	for i, x := range indexes {
		at[x] = i
	}
	n := 1
	for n < len(indexes) {
		n *= 2 // few texts, which the database knows already
	}
	args := make([]any, n)
	for i := range args {
		args[i] = indexes[min(i, len(indexes)-1)]
	}
	rows, err := r.tx.QueryContext(ctx, fmt.Sprintf(auditHashesSQL, parameters(n)), args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below says what went wrong
	hashes := make([]tlog.Hash, len(indexes))
	found := 0
	for rows.Next() {
		n, err := scanNode(rows)
		if err != nil {
			return nil, err
		}
		hashes[at[n.Index]] = n.Hash
		found++
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if found != len(indexes) {
		return nil, fmt.Errorf("%d of %d hashes are missing", len(indexes)-found, len(indexes))
	}
	return hashes, nil
}

const (
	addEntrySQL      = `INSERT INTO audit_entry (seq, body) VALUES`
	addNodeSQL       = `INSERT INTO audit_node (id, hash) VALUES`
	addCheckpointSQL = `INSERT INTO audit_checkpoint (size, note) VALUES ($1, $2)`
)

// Add inserts what one append made.
func (r auditRows) Add(ctx context.Context, b audit.Batch) error {
	rows := make([]any, 0, 2*len(b.Rows))
	for _, e := range b.Rows {
		rows = append(rows, e.Seq, e.Body)
	}
	if _, err := InsertRows(ctx, r.tx, addEntrySQL, 2, rows); err != nil {
		return err
	}
	nodes := make([]any, 0, 2*len(b.Nodes))
	for i := range b.Nodes {
		nodes = append(nodes, b.Nodes[i].Index, b.Nodes[i].Hash[:])
	}
	if _, err := InsertRows(ctx, r.tx, addNodeSQL, 2, nodes); err != nil {
		return err
	}
	_, err := r.tx.ExecContext(ctx, addCheckpointSQL, b.Checkpoint.Size, b.Checkpoint.Note)
	return err
}

// AuditVerifier is the public key of this database's audit log.
func (db *DB) AuditVerifier() string { return db.cfg.AuditKey.Verifier() }

const auditPageSQL = `SELECT seq, body FROM audit_entry WHERE seq > $1 ORDER BY seq LIMIT $2`

// AuditEntries lists entries after a sequence number, at most limit of them, in their order.
func (db *DB) AuditEntries(ctx context.Context, after int64, limit int) ([]audit.Entry, error) {
	var out []audit.Entry
	for row, err := range page(ctx, db.Reader(), auditPageSQL, after, limit, scanRow) {
		if err != nil {
			return nil, Fault(err)
		}
		e, err := audit.ParseEntry(row.Body)
		if err != nil {
			return nil, err
		}
		e.Seq = row.Seq
		out = append(out, e)
	}
	return out, nil
}

// ReadAudit runs fn over a snapshot of the audit log: what is appended meanwhile is not in
// it. The source is valid until fn returns.
func (db *DB) ReadAudit(ctx context.Context, fn func(ctx context.Context, log audit.Source) error) error {
	tx, err := db.Reader().BeginTx(ctx, &sql.TxOptions{Isolation: db.engine.snapshot(), ReadOnly: true})
	if err != nil {
		return Fault(fmt.Errorf("reading the audit log: %w", err))
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return Fault(fn(ctx, auditSource{tx}))
}

// auditSource reads the log page by page, because PostgreSQL has one open result per connection.
type auditSource struct{ tx *sql.Tx }

const auditPage = 500

const (
	nodePageSQL       = `SELECT id, hash FROM audit_node WHERE id > $1 ORDER BY id LIMIT $2`
	checkpointPageSQL = `SELECT size, note FROM audit_checkpoint WHERE size > $1 ORDER BY size LIMIT $2`
)

// Entries yields the snapshot's entries.
func (s auditSource) Entries(ctx context.Context) iter.Seq2[audit.Row, error] {
	return pages(ctx, s.tx, auditPageSQL, scanRow, func(r audit.Row) int64 { return r.Seq })
}

// Nodes yields the snapshot's hashes.
func (s auditSource) Nodes(ctx context.Context) iter.Seq2[audit.Node, error] {
	return pages(ctx, s.tx, nodePageSQL, scanNode, func(n audit.Node) int64 { return n.Index })
}

// Checkpoints yields the snapshot's checkpoints.
func (s auditSource) Checkpoints(ctx context.Context) iter.Seq2[audit.Checkpoint, error] {
	return pages(ctx, s.tx, checkpointPageSQL, scanCheckpoint, func(c audit.Checkpoint) int64 { return c.Size })
}

func scanRow(rows *sql.Rows) (r audit.Row, err error) {
	return r, rows.Scan(&r.Seq, &r.Body)
}

func scanNode(rows *sql.Rows) (n audit.Node, err error) {
	var hash []byte
	if err := rows.Scan(&n.Index, &hash); err != nil {
		return n, err
	}
	if len(hash) == len(n.Hash) { // of another length it is zero, matches nothing and is found
		copy(n.Hash[:], hash)
	}
	return n, nil
}

func scanCheckpoint(rows *sql.Rows) (c audit.Checkpoint, err error) {
	return c, rows.Scan(&c.Size, &c.Note)
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// pages yields every row of a query that takes the last key and a limit. Keys are from 0.
func pages[T any](ctx context.Context, q querier, query string, scan func(*sql.Rows) (T, error), key func(T) int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for after := int64(-1); ; {
			n := 0
			for v, err := range page(ctx, q, query, after, auditPage, scan) {
				if !yield(v, err) || err != nil {
					return
				}
				n, after = n+1, key(v)
			}
			if n < auditPage {
				return
			}
		}
	}
}

// page yields one page, having read all of it; an error comes last.
func page[T any](ctx context.Context, q querier, query string, after int64, limit int, scan func(*sql.Rows) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		all, err := readPage(ctx, q, query, after, limit, scan)
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
		}
	}
}

func readPage[T any](ctx context.Context, q querier, query string, after int64, limit int, scan func(*sql.Rows) (T, error)) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, after, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below says what went wrong
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
