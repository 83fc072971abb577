package web_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/identity/identitytest"
	"drawbridge/internal/web"
	"drawbridge/internal/web/client"
)

func TestStreamFormat(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	err := web.Stream(w, httptest.NewRequest("GET", "/", nil), func(_ context.Context, send func(web.Event) error) error {
		if err := send(web.Event{ID: "7\nevent: forged", Name: "run", Data: "two\nlines"}); err != nil {
			return err
		}
		return fault.New(fault.NotFound, "it is gone")
	})
	if err != nil {
		t.Fatal(err)
	}
	got := w.Body.String()
	if !strings.HasPrefix(got, ": \n\nid: 7event: forged\nevent: run\ndata: \"two\\nlines\"\n\nevent: problem\ndata: {") || !strings.Contains(got, `"kind":"not-found"`) {
		t.Errorf("the stream is %q", got)
	}
}

// A quiet stream shows signs of life, and ends with its client.
func TestStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		w := httptest.NewRecorder()
		err := web.Stream(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx), func(ctx context.Context, _ func(web.Event) error) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
		if got := strings.Count(w.Body.String(), ": \n\n"); err != nil || got != 4 {
			t.Errorf("in 50 s: %d signs of life, %v; want 4", got, err)
		}
	})
}

// live serves a server until the test ends or stop is called, which waits for its end.
func live(t *testing.T, routes []web.Route) (c *client.Client, stop func() error) {
	t.Helper()
	tokens := identity.New(&identitytest.Memory{}, time.Now)
	_, secret, err := tokens.Create(t.Context(), identity.Request{Name: "alice", Role: identity.Viewer, By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.New(web.Config{Verify: tokens.Verify, Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, l) }()
	t.Cleanup(cancel)
	if c, err = client.New(client.Config{Server: l.Addr().String(), Token: secret}); err != nil {
		t.Fatal(err)
	}
	return c, func() error { cancel(); return <-done }
}

// A server that stops ends its streams and lets requests under way finish.
func TestStop(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	c, stop := live(t, []web.Route{
		{
			Method: "GET", Pattern: "/api/v1/live", Action: identity.Read, Summary: "Watch", Media: "text/event-stream",
			Handler: func(w http.ResponseWriter, r *http.Request) error {
				return web.Stream(w, r, func(ctx context.Context, send func(web.Event) error) error {
					if err := send(web.Event{Name: "hello", Data: 1}); err != nil {
						return err
					}
					<-ctx.Done()
					return ctx.Err()
				})
			},
		},
		{
			Method: "GET", Pattern: "/api/v1/slow", Action: identity.Read, Summary: "Take long", Response: "",
			Handler: func(w http.ResponseWriter, _ *http.Request) error {
				close(entered)
				<-release
				return web.Reply(w, 200, "done")
			},
		},
	})
	streamed, slow, opened := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() {
		streamed <- c.Stream(t.Context(), "/api/v1/live", func(e client.Event) error {
			if e.Name != "hello" || string(e.Data) != "1" {
				t.Errorf("event %+v", e)
			}
			close(opened)
			return nil
		})
	}()
	go func() {
		var answer string
		err := c.Get(t.Context(), "/api/v1/slow", &answer)
		if err == nil && answer != "done" {
			err = errors.New(answer)
		}
		slow <- err
	}()
	<-opened
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	if err := <-streamed; err != nil {
		t.Errorf("the stream ends with %v", err)
	}
	close(release)
	if err := <-slow; err != nil {
		t.Errorf("the request under way ends with %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve ends with %v", err)
	}
	if err := c.Get(t.Context(), "/healthz", nil); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after the stop: %v", err)
	}
}
