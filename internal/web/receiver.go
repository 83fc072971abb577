package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// Made is a receiver that was applied, or got another secret.
type Made struct {
	Receiver bridge.Receiver
	Version  int64
	Changed  bool
	Secret   string // shown once, when it was made; "" otherwise
}

// ReceiverDesk makes and changes receivers.
type ReceiverDesk interface {
	// Apply keeps a receiver's file. A new one gets the secret, or a fresh one when there is none;
	// no secret keeps what an old one has.
	Apply(ctx context.Context, actor, file string, src, secret []byte) (Made, error)
	// Rotate gives a receiver the secret, or a fresh one. The one before counts for another day.
	Rotate(ctx context.Context, actor, name string, secret []byte) (Made, error)
	// Remove takes a receiver away.
	Remove(ctx context.Context, actor, name string) error
}

// ReceiverParts is what the rows of receivers need.
type ReceiverParts struct {
	Desk  ReceiverDesk
	Store DocumentStore
	List  DocumentList
	Types []api.ReceiverType // that are known, sorted by name
	URL   string             // address of this server
}

// ReceiverRoutes are the rows of receivers.
func ReceiverRoutes(parts ReceiverParts) []Route {
	h := receiverHandlers{parts, documents{kind: bridge.KindReceiver, store: parts.Store, list: parts.List}}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/receivertypes", Action: identity.Read, Handler: h.types,
			Summary: "List the kinds of senders that receivers understand", Paged: true, Response: api.ReceiverType{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/receivers", Action: identity.Read, Handler: h.all,
			Summary: "List receivers by name", Paged: true, Response: api.Receiver{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/receivers/{name}", Action: identity.Read, Handler: h.show,
			Summary: "Show a receiver as it was applied; never its secret", Response: api.Receiver{},
		},
		{
			Method: http.MethodPut, Pattern: "/api/v1/receivers", Action: identity.ManageReceivers, Handler: h.put,
			Summary: "Apply a receiver file; a new receiver's secret is told once", Request: api.NewReceiver{}, Response: api.MadeReceiver{},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/receivers/{name}/rotate", Action: identity.ManageReceivers, Handler: h.rotate,
			Summary: "Give a receiver another secret; the old one counts for another day", Request: api.NewSecret{}, Response: api.MadeReceiver{},
		},
		{
			Method: http.MethodDelete, Pattern: "/api/v1/receivers/{name}", Action: identity.ManageReceivers, Handler: h.remove,
			Summary: "Remove a receiver: what is posted there is refused",
		},
	}
}

type receiverHandlers struct {
	ReceiverParts
	documents documents
}

func (h receiverHandlers) types(w http.ResponseWriter, r *http.Request) error {
	return replySlice(w, r, h.Types, func(t api.ReceiverType) string { return t.Name })
}

func (h receiverHandlers) typeNames() []string {
	return each(h.Types, func(t api.ReceiverType) string { return t.Name })
}

// pathSecret is the kind of secret that stands in the address.
const pathSecret = "path"

// address is what a sender is given. Where the secret is its last part, SECRET stands for
// one that is not known here.
func (h receiverHandlers) address(r bridge.Receiver, secret string) string {
	out := strings.TrimRight(h.URL, "/") + api.HooksPath + r.Name
	if slices.ContainsFunc(h.Types, func(t api.ReceiverType) bool { return t.Name == r.Type && t.Secret == pathSecret }) {
		if secret == "" {
			secret = "SECRET"
		}
		out += "/" + url.PathEscape(secret)
	}
	return out
}

func (h receiverHandlers) receiver(d Document) (api.Receiver, error) {
	r, err := bridge.ParseReceiver(d.Name, d.Body, h.typeNames())
	if err != nil {
		return api.Receiver{}, fmt.Errorf("read receiver %s: %w", d.Name, err)
	}
	return api.ReceiverOf(r, d.Version, h.address(r, "")), nil
}

func (h receiverHandlers) all(w http.ResponseWriter, r *http.Request) error {
	p, docs, err := h.documents.page(r)
	if err != nil {
		return err
	}
	out := make([]api.Receiver, 0, len(docs))
	for _, d := range docs {
		v, err := h.receiver(d)
		if err != nil {
			return err
		}
		out = append(out, v)
	}
	return ReplyPage(w, r, p, out, func(v api.Receiver) string { return v.Name })
}

func (h receiverHandlers) show(w http.ResponseWriter, r *http.Request) error {
	d, err := h.documents.newest(r, r.PathValue("name"))
	if err != nil {
		return err
	}
	out, err := h.receiver(d)
	if err != nil {
		return err
	}
	out.Source = string(d.Body)
	return Reply(w, http.StatusOK, out)
}

func (h receiverHandlers) put(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.NewReceiver](r)
	if err != nil {
		return err
	}
	if in.Source == "" {
		return fault.New(fault.Invalid, "is missing").WithField("source").WithHint("send the YAML of the receiver")
	}
	if in.File == "" || len(in.File) > maxFileName {
		in.File = "receiver.yaml"
	}
	if in.Dry {
		return h.try(w, r, in)
	}
	m, err := h.Desk.Apply(r.Context(), Token(r.Context()).Name, in.File, []byte(in.Source), []byte(in.Secret))
	if err != nil {
		return err
	}
	return h.made(w, m, in.Secret)
}

// try answers what applying a receiver's file would do; it makes no secret.
func (h receiverHandlers) try(w http.ResponseWriter, r *http.Request, in api.NewReceiver) error {
	rec, err := bridge.ParseReceiver(in.File, []byte(in.Source), h.typeNames())
	if err != nil {
		return err
	}
	old, version, err := h.Store.Newest(r.Context(), bridge.KindReceiver, rec.Name)
	if err != nil {
		return err
	}
	return h.made(w, Made{Receiver: rec, Version: version, Changed: string(old) != in.Source}, "")
}

func (h receiverHandlers) rotate(w http.ResponseWriter, r *http.Request) error {
	in, err := Decode[api.NewSecret](r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	d, err := h.documents.newest(r, name)
	if err != nil {
		return err
	}
	m, err := h.Desk.Rotate(r.Context(), Token(r.Context()).Name, name, []byte(in.Secret))
	if err != nil {
		return err
	}
	m.Version = d.Version
	return h.made(w, m, in.Secret)
}

// made answers a receiver; given is the secret that the request brought.
func (h receiverHandlers) made(w http.ResponseWriter, m Made, given string) error {
	secret := given
	if m.Secret != "" {
		secret = m.Secret
	}
	return Reply(w, http.StatusOK, api.MadeReceiver{
		Receiver: api.ReceiverOf(m.Receiver, m.Version, h.address(m.Receiver, "")), Version: m.Version, Changed: m.Changed,
		Secret: m.Secret, Address: h.address(m.Receiver, secret),
	})
}

func (h receiverHandlers) remove(w http.ResponseWriter, r *http.Request) error {
	if err := h.Desk.Remove(r.Context(), Token(r.Context()).Name, r.PathValue("name")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
