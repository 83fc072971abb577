package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// serve starts a real server and returns a client with an admin's token.
func serve(t *testing.T, routes ...web.Route) (*client.Client, string) {
	t.Helper()
	tokens := identity.New(&identitytest.Memory{}, time.Now)
	_, secret, err := tokens.Create(t.Context(), identity.Request{Name: "ops", Role: identity.Admin, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := web.New(web.Config{Verify: tokens.Verify, Routes: append(web.TokenRoutes(tokens), routes...)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return connect(t, server.URL, secret), server.URL
}

func connect(t *testing.T, url, token string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Server: url, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTokens(t *testing.T) {
	t.Parallel()
	c, url := serve(t)
	var made api.CreatedToken
	if err := c.Send(t.Context(), http.MethodPost, "/api/v1/tokens", api.NewToken{Name: "alice", Role: identity.Developer, TTL: "1h"}, &made); err != nil {
		t.Fatal(err)
	}
	var who api.Token
	if err := connect(t, url, made.Secret).Get(t.Context(), "/api/v1/whoami", &who); err != nil || who.Name != "alice" || who.By != "ops" || who.Expires == nil {
		t.Errorf("whoami = %+v, %v", who, err)
	}
	err := c.Send(t.Context(), http.MethodPost, "/api/v1/tokens", api.NewToken{Name: "Alice", Role: identity.Developer}, nil)
	if f := fault.As(err); f == nil || f.Kind != fault.Invalid || f.Field != "name" || f.Hint == "" {
		t.Errorf("a bad name: %v", err)
	}
	if err := c.Send(t.Context(), http.MethodPost, "/api/v1/tokens", api.NewToken{Name: "x", Role: identity.Viewer, TTL: "soon"}, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("a bad ttl: %v", err)
	}
	if err := c.Send(t.Context(), http.MethodDelete, "/api/v1/tokens/2", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := connect(t, url, made.Secret).Get(t.Context(), "/api/v1/whoami", &who); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a revoked token: %v", err)
	}
	if err := c.Send(t.Context(), http.MethodDelete, "/api/v1/tokens/99", nil, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such token: %v", err)
	}
}

func TestEach(t *testing.T) {
	t.Parallel()
	c, _ := serve(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := c.Send(t.Context(), http.MethodPost, "/api/v1/tokens", api.NewToken{Name: name, Role: identity.Viewer}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for token, err := range client.Each[api.Token](t.Context(), c, "/api/v1/tokens?limit=2") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, token.Name)
	}
	if want := []string{"ops", "a", "b", "c", "d"}; !slices.Equal(names, want) {
		t.Errorf("Each gives %v, want %v", names, want)
	}
	for _, err := range client.Each[api.Token](t.Context(), c, "/api/v1/nothing") {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("Each of nothing: %v", err)
		}
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	var got, media string
	c, _ := serve(t, web.Route{
		Method: "POST", Pattern: "/api/v1/events", Action: identity.PostEvents, Summary: "Post an event", Accepts: api.CloudEventType,
		Handler: func(w http.ResponseWriter, r *http.Request) error {
			b, err := web.Body(r)
			got, media = string(b), r.Header.Get("Content-Type")
			if err == nil {
				w.WriteHeader(http.StatusAccepted)
			}
			return err
		},
	})
	if err := c.Post(t.Context(), []byte(`{"id":"1"}`)); err != nil || got != `{"id":"1"}` || media != api.CloudEventType {
		t.Errorf("Post: %v; the server got %q as %q", err, got, media)
	}
	if err := c.Post(t.Context(), make([]byte, api.MaxBody+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a huge event: %v", err)
	}
}

// Answers that no Drawbridge server gives.
func TestForeign(t *testing.T) {
	t.Parallel()
	var leaked string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = r.Header.Get("Authorization") }))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/gateway":
			http.Error(w, "<html>bad gateway</html>", http.StatusBadGateway)
		case "/text":
			_, _ = io.WriteString(w, "hello")
		case "/problem":
			w.Header().Set("Content-Type", api.ProblemType)
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, `{"kind":"brewing","detail":"a\nb","requestId":"r"}`)
		case "/loop":
			_, _ = io.WriteString(w, `{"items":[],"next":"1"}`)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{`)
		case "/stream":
			_, _ = io.WriteString(w, "id: 1\ndata: 1\ndata: 2\n\nevent: problem\ndata: {\"kind\":\"blocked\",\"detail\":\"wait\"}\n\n")
		}
	}))
	t.Cleanup(server.Close)
	c := connect(t, server.URL, "secret")
	var out any
	for path, want := range map[string]fault.Kind{
		"/redirect": fault.Unavailable, "/gateway": fault.Unavailable, "/text": fault.Unavailable, "/cut": fault.Unavailable,
		"/problem": fault.Internal, "//evil.example.com/x": fault.Invalid, "http://evil.example.com/": fault.Invalid,
	} {
		if err := c.Get(t.Context(), path, &out); fault.As(err) == nil || fault.KindOf(err) != want || strings.Contains(err.Error(), "\n") {
			t.Errorf("Get(%q) = %v, want %s", path, err, want)
		}
	}
	if leaked != "" {
		t.Error("the token went to another server")
	}
	for _, err := range client.Each[int](t.Context(), c, "/loop") {
		if !fault.Is(err, fault.Internal) {
			t.Errorf("a list without end: %v", err)
		}
	}
	var events []string
	err := c.Stream(t.Context(), "/stream", func(e client.Event) error {
		events = append(events, e.ID+" "+e.Name+" "+string(e.Data))
		return nil
	})
	if !fault.Is(err, fault.Blocked) || !slices.Equal(events, []string{"1 message 1\n2"}) {
		t.Errorf("Stream: %q, %v", events, err)
	}
	body, err := c.Open(t.Context(), "/text")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	if b, err := io.ReadAll(body); err != nil || string(b) != "hello" {
		t.Errorf("Open: %q, %v", b, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Get(ctx, "/text", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call: %v", err)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"", "ftp://x", "http://", "http://a b", "::"} {
		if _, err := client.New(client.Config{Server: server}); !fault.Is(err, fault.Invalid) {
			t.Errorf("New(%q) = %v, want invalid", server, err)
		}
	}
	c := connect(t, "127.0.0.1:1", "")
	if err := c.Get(t.Context(), "/", nil); !fault.Is(err, fault.Unavailable) || fault.As(err).Hint == "" {
		t.Errorf("no server: %v", err)
	}
}
