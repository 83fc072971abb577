package registry

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"

	"drawbridge/internal/fault"
)

// Access is what the identity behind a request may do in the embedded registry. The
// function that finds it answers with a fault of kind Unauthenticated when there is no
// valid token, which asks the client to log in.
type Access struct {
	Name string // of the identity; goes into tag rows as the actor
	Pull bool
	Push bool
	CI   bool // CI's own identity: its tags are not reported, its own event speaks for them
	// Allow narrows Pull and Push down to repositories; nil allows all. With it the
	// catalog, which lists every repository, is refused.
	Allow func(repository string, push bool) bool
}

func (a Access) allows(at place, method string) bool {
	push := pushes(method)
	if (push && !a.Push) || (!push && !a.Pull) {
		return false
	}
	switch at.kind {
	case atBase:
		return true
	case atCatalog:
		return a.Allow == nil
	case atManifest, atBlob, atUpload, atTags, atReferrers:
	}
	return a.Allow == nil || a.Allow(at.repository, push)
}

func pushes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead
}

// TokenOf is the token that a request carries as a bearer token or, as registry clients
// send it, as the password of basic authentication; "" when there is none. The user name
// of basic authentication means nothing.
func TokenOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// answer is an error in the words of the distribution specification.
type answer struct {
	status        int
	code, message string
}

func (a *answer) Error() string { return a.message }

func unsupported(message string) error {
	return &answer{http.StatusMethodNotAllowed, "UNSUPPORTED", message}
}

// refuse answers with what err says. Errors that are neither an answer nor a fault are
// logged and told as an internal error.
func (e *Embedded) refuse(w http.ResponseWriter, err error) {
	if a, ok := err.(*answer); ok { //nolint:errorlint // made here and never wrapped
		writeError(w, a.status, a.code, a.message)
		return
	}
	f := fault.As(err)
	if f == nil || f.Kind == fault.Internal {
		e.config.Log.Error("registry request failed", slog.Any("error", err))
		writeError(w, http.StatusInternalServerError, "UNKNOWN", "internal error")
		return
	}
	code := map[fault.Kind]string{
		fault.Unauthenticated: "UNAUTHORIZED",
		fault.Forbidden:       "DENIED",
		fault.Conflict:        "DENIED",
		fault.TooLarge:        "SIZE_INVALID",
		fault.Invalid:         "MANIFEST_INVALID",
	}[f.Kind]
	if code == "" {
		code = "UNKNOWN"
	}
	writeError(w, f.Kind.Status(), code, f.Message)
}

// writeError answers with one error in the form of the distribution specification.
func writeError(w http.ResponseWriter, status int, code, message string) {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="drawbridge"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The status is out; a client that has gone cannot be told more.
	_ = json.NewEncoder(w).Encode(map[string][]entry{"errors": {{code, message}}})
}
