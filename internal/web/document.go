package web

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// Document is one document in its newest version.
type Document struct {
	Name    string
	Version int64
	Body    []byte // as it was applied
}

// DocumentStore keeps the documents that admins apply for the bridge.
type DocumentStore interface {
	// Newest returns the newest version of a document as it was applied: nil and 0 when there
	// is none, no body when it was dropped.
	Newest(ctx context.Context, kind, name string) (body []byte, version int64, err error)
	// PutDocument keeps body as the version after was, with its audit entry; Conflict when
	// somebody else's version is in between.
	PutDocument(ctx context.Context, actor, kind, name string, body []byte, was int64) (version int64, err error)
	// DropDocument removes a document, with its audit entry; NotFound when there is none.
	DropDocument(ctx context.Context, actor, kind, name string) error
}

// DocumentList lists the documents of a kind after a name, sorted. What was dropped is not
// among them.
type DocumentList func(ctx context.Context, kind, after string, limit int) ([]Document, error)

// documents are the rows that every kind of document has.
type documents struct {
	kind  string
	store DocumentStore
	list  DocumentList
}

// newest is a document that must be there.
func (d documents) newest(r *http.Request, name string) (Document, error) {
	body, version, err := d.store.Newest(r.Context(), d.kind, name)
	if err != nil {
		return Document{}, err
	}
	if len(body) == 0 {
		return Document{}, fault.New(fault.NotFound, "there is no %s %.80q", strings.ToLower(d.kind), name).WithHint("drawbridge %s list", strings.ToLower(d.kind))
	}
	return Document{Name: name, Version: version, Body: body}, nil
}

// page is the page of documents that a request asks for.
func (d documents) page(r *http.Request) (Page, []Document, error) {
	p, err := PageOf(r)
	if err != nil {
		return p, nil, err
	}
	p.Limit = min(p.Limit, storeLimit)
	list, err := d.list(r.Context(), d.kind, p.After, p.Limit)
	return p, list, err
}

// apply keeps a file that has been checked, unless it is the newest version or dry is set.
func (d documents) apply(w http.ResponseWriter, r *http.Request, name string, src []byte) error {
	dry, err := flag(r, "dry")
	if err != nil {
		return err
	}
	old, version, err := d.store.Newest(r.Context(), d.kind, name)
	if err != nil {
		return err
	}
	out := api.Applied{Kind: d.kind, Name: name, Version: version, Changed: !bytes.Equal(old, src), Diff: unified(name, string(old), string(src))}
	if out.Changed && !dry {
		if out.Version, err = d.store.PutDocument(r.Context(), Token(r.Context()).Name, d.kind, name, src, version); err != nil {
			return err
		}
	}
	return Reply(w, http.StatusOK, out)
}
