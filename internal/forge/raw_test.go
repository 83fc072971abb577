package forge_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// do sends a request that git would not and returns the answer.
func (h *host) do(t *testing.T, method, path, token, body, encoding string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("x", token)
	if strings.HasPrefix(path, "/git/") && method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
	}
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (h *host) post(t *testing.T, token, repository, body, encoding string) (int, string) {
	t.Helper()
	return h.do(t, http.MethodPost, "/git/"+repository+".git/git-receive-pack", token, body, encoding)
}

func hexLine(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
