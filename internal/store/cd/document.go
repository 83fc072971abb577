package cd

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
	"drawbridge/internal/store"
	"drawbridge/internal/store/cd/sqlc"
)

// kindTrust is the kind of the one document that holds the trust policy.
const kindTrust = "Trust"

// Newest is cd.Documents'. A document that was dropped has a version and no body.
func (s *Store) Newest(ctx context.Context, kind, name string) ([]byte, int64, error) {
	row, err := s.read().NewestDocument(ctx, sqlc.NewestDocumentParams{Kind: kind, Name: name})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	return row.Body, row.Version, store.Fault(err)
}

// Document returns one version of a document as it was applied; NotFound when there is none.
func (s *Store) Document(ctx context.Context, kind, name string, version int64) ([]byte, error) {
	row, err := s.read().Document(ctx, sqlc.DocumentParams{Kind: kind, Name: name, Version: version})
	if err != nil {
		return nil, found(err, "drawbridge apply -f FILE", "there is no version %d of %s %s", version, kind, name)
	}
	return row.Body, nil
}

// PutDelivery is cd.Documents'.
func (s *Store) PutDelivery(ctx context.Context, actor string, d cd.Delivery, body []byte, was int64) (int64, error) {
	version := was + 1
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		if err := s.putDocument(ctx, tx, q, cd.KindDelivery, d.Name, version, body, actor); err != nil {
			return err
		}
		if err := concern(ctx, q, d.Application(version)); err != nil {
			return err
		}
		if err := setClocks(ctx, tx, q, d.Name, d.Application(version).Clocks(s.db.Now())); err != nil {
			return err
		}
		for i, e := range d.Environments {
			if err := q.PutEnvironment(ctx, sqlc.PutEnvironmentParams{Application: d.Name, Name: e.Name, Place: int64(i)}); err != nil {
				return fmt.Errorf("put environment %s/%s: %w", d.Name, e.Name, err)
			}
		}
		return nil
	})
	return version, err
}

// concern keeps the keys by which facts find an application.
func concern(ctx context.Context, q *sqlc.Queries, app bridge.Application) error {
	if err := q.DropConcerns(ctx, app.Name); err != nil {
		return fmt.Errorf("drop the keys of %s: %w", app.Name, err)
	}
	for _, k := range app.Keys() {
		if err := q.InsertConcern(ctx, sqlc.InsertConcernParams{Key: key(k), Application: app.Name}); err != nil {
			return fmt.Errorf("insert a key of %s: %w", app.Name, err)
		}
	}
	return nil
}

// Document is one document in its newest version.
type Document struct {
	Name    string
	Version int64
	Body    []byte // as it was applied
}

// Documents lists the documents of a kind after a name, sorted, at most limit (50 for 0).
// What was dropped is not among them.
func (s *Store) Documents(ctx context.Context, kind, after string, limit int) ([]Document, error) {
	rows, err := s.read().Documents(ctx, sqlc.DocumentsParams{Kind: kind, After: after, Page: page(limit)})
	if err != nil {
		return nil, store.Fault(err)
	}
	out := make([]Document, 0, len(rows))
	for _, row := range rows {
		out = append(out, Document{Name: row.Name, Version: row.Version, Body: row.Body})
	}
	return out, nil
}

// PutDocument keeps the next version of a Receiver, a Policy or a Workload, as it was
// applied, and returns its number. It gives a fault of kind Conflict when was is no longer
// the newest version. What the body says is checked by the caller.
func (s *Store) PutDocument(ctx context.Context, actor, kind, name string, body []byte, was int64) (int64, error) {
	switch {
	case kind != bridge.KindReceiver && kind != bridge.KindPolicy && kind != bridge.KindWorkload:
		return 0, fmt.Errorf("put document %s: kind %q is not put this way", name, kind)
	case len(body) == 0:
		return 0, fault.New(fault.Invalid, "%s %s is empty", kind, name)
	}
	version := was + 1
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		return s.putDocument(ctx, tx, q, kind, name, version, body, actor)
	})
	return version, err
}

// DropDocument takes a Receiver, a Policy or a Workload out of use, a receiver's secrets
// with it. Its versions stay. NotFound when there is none.
func (s *Store) DropDocument(ctx context.Context, actor, kind, name string) error {
	if kind == cd.KindDelivery || kind == kindTrust {
		return fmt.Errorf("drop document %s: kind %q cannot be dropped", name, kind)
	}
	return s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		row, err := q.NewestDocument(ctx, sqlc.NewestDocumentParams{Kind: kind, Name: name})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the newest %s %s: %w", kind, name, err)
		}
		if len(row.Body) == 0 {
			return fault.New(fault.NotFound, "there is no %s %q", strings.ToLower(kind), name).WithHint("drawbridge %s list", strings.ToLower(kind))
		}
		if kind == bridge.KindReceiver {
			if err := q.DropAllReceiverSecrets(ctx, name); err != nil {
				return fmt.Errorf("drop the secrets of receiver %s: %w", name, err)
			}
		}
		return s.putDocument(ctx, tx, q, kind, name, row.Version+1, []byte{}, actor)
	})
}

// putDocument inserts one version; the primary key lets only one writer have it.
func (s *Store) putDocument(ctx context.Context, tx *store.Tx, q *sqlc.Queries, kind, name string, version int64, body []byte, actor string) error {
	row, err := q.NewestDocument(ctx, sqlc.NewestDocumentParams{Kind: kind, Name: name})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("read the newest %s %s: %w", kind, name, err)
	}
	if row.Version != version-1 {
		return fault.New(fault.Conflict, "%s %s has version %d meanwhile", kind, name, row.Version).WithHint("apply it again")
	}
	n, err := q.InsertDocument(ctx, sqlc.InsertDocumentParams{Kind: kind, Name: name, Version: version, Body: body, Actor: actor, AtMs: store.Millis(s.db.Now())})
	if err != nil {
		return fmt.Errorf("insert %s %s: %w", kind, name, err)
	}
	if n == 0 { // another replica wrote it in this instant: its row is not to be seen in here
		return fault.New(fault.Conflict, "%s %s has version %d meanwhile", kind, name, version).WithHint("apply it again")
	}
	noun := strings.ToLower(kind)
	e := entry(actor, noun+".apply", noun+"/"+name)
	if len(body) == 0 {
		e.Action = noun + ".remove"
	}
	if kind == cd.KindDelivery {
		e.Application = name
	}
	e.Detail = map[string]string{"version": strconv.FormatInt(version, 10), "digest": artifact.DigestOf(body).String()}
	return tx.Record(ctx, e)
}

// Trust is bridge.Trust's: what was applied, without any implied signer.
func (s *Store) Trust(ctx context.Context) (attest.Policy, int64, error) {
	body, version, err := s.Newest(ctx, kindTrust, "default")
	if err != nil || version == 0 {
		return attest.Policy{}, 0, err
	}
	var p attest.Policy
	if err := json.Unmarshal(body, &p); err != nil {
		return p, 0, fmt.Errorf("read trust policy %d: %w", version, err)
	}
	return p, version, nil
}

// PutTrust is bridge.TrustStore's.
func (s *Store) PutTrust(ctx context.Context, actor string, p attest.Policy, was int64) (int64, error) {
	version := was + 1
	err := s.in(ctx, func(ctx context.Context, tx *store.Tx, q *sqlc.Queries) error {
		return s.putDocument(ctx, tx, q, kindTrust, "default", version, []byte(marshal(p)), actor)
	})
	return version, err
}

// Delivery is cd.EnvironmentReader's.
func (s *Store) Delivery(ctx context.Context, application string, version int64) (cd.Delivery, int64, error) {
	var body []byte
	var err error
	if version == 0 {
		body, version, err = s.Newest(ctx, cd.KindDelivery, application)
		if err == nil && version == 0 {
			err = sql.ErrNoRows
		}
	} else {
		var row sqlc.DocumentRow
		row, err = s.read().Document(ctx, sqlc.DocumentParams{Kind: cd.KindDelivery, Name: application, Version: version})
		body = row.Body
	}
	if err != nil {
		return cd.Delivery{}, 0, found(err, "drawbridge apply -f FILE", "there is no delivery %q", application)
	}
	d, err := cd.ReadDelivery(application, body)
	if err != nil {
		return cd.Delivery{}, 0, fmt.Errorf("read delivery %s version %d: %w", application, version, err)
	}
	return d, version, nil
}

// Applications lists the names of the deliveries after a name, sorted.
func (s *Store) Applications(ctx context.Context, after string, limit int) ([]string, error) {
	names, err := s.read().DocumentNames(ctx, sqlc.DocumentNamesParams{Kind: cd.KindDelivery, After: after, Page: page(limit)})
	return names, store.Fault(err)
}

// Concerned is bridge.EventRecord's.
func (s *Store) Concerned(ctx context.Context, keys []string) ([]bridge.Application, error) {
	var names []string
	for _, k := range keys {
		list, err := s.read().Concerned(ctx, key(k))
		if err != nil {
			return nil, store.Fault(err)
		}
		names = append(names, list...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	apps := make([]bridge.Application, 0, len(names))
	for _, n := range names {
		app, err := s.application(ctx, n)
		if err != nil {
			return nil, err
		}
		apps = append(apps, app)
	}
	return apps, nil
}

// application is what the newest delivery says. A version never changes, so the one that
// was read last is kept: to read it anew costs more than all the rest of an event.
func (s *Store) application(ctx context.Context, name string) (bridge.Application, error) {
	version, err := s.read().NewestVersion(ctx, sqlc.NewestVersionParams{Kind: cd.KindDelivery, Name: name})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return bridge.Application{}, store.Fault(err)
	}
	if last, ok := s.applications.Load(name); ok {
		if app, ok := last.(bridge.Application); ok && app.Delivery == version {
			return app, nil
		}
	}
	d, version, err := s.Delivery(ctx, name, 0)
	if err != nil {
		return bridge.Application{}, err
	}
	app := d.Application(version)
	s.applications.Store(name, app)
	return app, nil
}
