package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"drawbridge/internal/web/api"
)

const (
	beat       = 15 * time.Second // between two signs of life on a quiet stream
	streamTime = 30 * time.Second // to write one event
)

const stopKey contextKey = 100

// Event is one server-sent event.
type Event struct {
	ID   string // the client's Last-Event-ID when it comes back; may be empty
	Name string // without line breaks; empty means "message"
	Data any    // sent as JSON
}

// Stream answers r with server-sent events until fn returns. fn's context ends when the
// client goes away or the server stops; fn sends one event with each call of send, whose
// error it returns. An error of fn after the first byte is sent as an event named
// "problem". Quiet streams carry a comment from time to time, which keeps proxies from
// cutting them.
func Stream(w http.ResponseWriter, r *http.Request, fn func(ctx context.Context, send func(Event) error) error) error {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	out := &stream{w: w, c: http.NewResponseController(w)}
	_ = out.c.SetReadDeadline(time.Time{}) // a stream lives longer than a request may
	if err := out.write([]byte(": \n\n")); err != nil {
		return nil
	}
	var beats sync.WaitGroup
	beats.Go(func() { out.keep(ctx, cancel) })
	err := fn(ctx, out.send)
	cancelled := ctx.Err() != nil
	cancel()
	beats.Wait()
	if err != nil && !cancelled {
		_ = out.send(Event{Name: "problem", Data: api.ProblemOf(err, RequestID(ctx))}) // the last word; nobody may be there
		if api.ProblemOf(err, "").Status == http.StatusInternalServerError {
			return err // logged by the adapter, which breaks the answer off
		}
	}
	return nil
}

// stream writes whole events, one at a time.
type stream struct {
	mu sync.Mutex
	w  http.ResponseWriter
	c  *http.ResponseController
}

func (s *stream) send(e Event) error {
	data, err := json.Marshal(e.Data) // one line: JSON holds no raw line break
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, line := range [][2]string{{"id", e.ID}, {"event", e.Name}} {
		if line[1] != "" {
			b.WriteString(line[0] + ": " + strings.NewReplacer("\n", "", "\r", "").Replace(line[1]) + "\n")
		}
	}
	b.WriteString("data: ")
	b.Write(data)
	b.WriteString("\n\n")
	return s.write(b.Bytes())
}

func (s *stream) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.c.SetWriteDeadline(time.Now().Add(streamTime)) // not every test's writer has deadlines
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.c.Flush()
}

// keep sends signs of life until ctx ends, and ends the stream when the server stops or
// the client is gone.
func (s *stream) keep(ctx context.Context, cancel context.CancelFunc) {
	stop, _ := ctx.Value(stopKey).(chan struct{})
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			cancel()
			return
		case <-tick.C:
			if s.write([]byte(": \n\n")) != nil {
				cancel()
				return
			}
		}
	}
}
