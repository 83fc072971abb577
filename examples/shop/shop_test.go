package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestShop(t *testing.T) {
	for name, test := range map[string]struct {
		path   string
		status int
		want   string
	}{
		"front":          {"/", 200, `"version":"1.2.3"`},
		"products":       {"/", 200, `"name":"anvil"`},
		"health":         {"/healthz", 200, "ok"},
		"total":          {"/total?anvil=1&rope=10", 200, `"total":"167.75"`},
		"empty basket":   {"/total", 200, `"total":"0.00"`},
		"not a number":   {"/total?rope=many", 400, "needs a number"},
		"negative":       {"/total?rope=-1", 400, "negative"},
		"no such page":   {"/nothing", 404, "not found"},
		"too big a rope": {"/total?rope=99999999999", 400, "needs a number"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newHandler("1.2.3", "dev").ServeHTTP(w, httptest.NewRequest(http.MethodGet, test.path, nil))
			if w.Code != test.status || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("GET %s = %d %q, want %d with %q", test.path, w.Code, w.Body, test.status, test.want)
			}
		})
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, "127.0.0.1:0", newHandler("1", "dev")); err != nil && err != http.ErrServerClosed {
		t.Errorf("run() = %v", err)
	}
}
