package web

import (
	"encoding/json"
	"net/http"

	"drawbridge/internal/web/api"
)

// writer remembers which status was written.
type writer struct {
	http.ResponseWriter
	status int // 0: nothing is out yet
}

// WriteHeader keeps the first status that is final.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write sends the status 200 first when none was written.
func (w *writer) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Flush sends what is buffered; handlers that are mounted look for this method.
func (w *writer) Flush() {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is the writer beneath, for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discard takes an answer and keeps its status and header alone.
type discard struct {
	header http.Header
	status int
}

// Header is the header of the answer.
func (d *discard) Header() http.Header { return d.header }

// Write drops the body.
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader keeps the status.
func (d *discard) WriteHeader(status int) { d.status = status }

func writeProblem(w http.ResponseWriter, p api.Problem) {
	b, err := json.Marshal(p)
	if err != nil { // strings and numbers only: cannot be
		panic(err)
	}
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(b, '\n')) // a client that went away is nobody's fault
}
