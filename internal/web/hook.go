package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// HookRequest is one delivery of a sender as it arrived.
type HookRequest struct {
	Header http.Header
	Path   string // what follows /hooks/NAME/: the secret of senders that cannot sign; mostly empty
	Body   []byte
}

// Taken is what became of a delivery.
type Taken struct {
	Events []bridge.Event // none when the delivery says nothing to the bridge
	Fresh  bool           // false: it was here before
	Answer []byte         // JSON that the sender waits for; nil means none
}

// HookDoor takes deliveries at receivers.
type HookDoor interface {
	// Deliver takes one delivery at the receiver name and returns once it is kept. Who does not
	// prove to be the sender gets a fault of kind Unauthenticated, whether there is such a
	// receiver or not. No error holds r's Path.
	Deliver(ctx context.Context, name string, r HookRequest) (Taken, error)
}

// Hooks are the addresses of receivers, below /hooks/. It is a prometheus.Collector of what
// arrives there. Make it with NewHooks; it is safe for concurrent use.
type Hooks struct {
	door       HookDoor
	deliveries *prometheus.CounterVec

	mu    sync.Mutex
	known map[string]bool // receivers that somebody has proven a delivery to
}

// What becomes of a delivery, as the counter says it.
const (
	hookKept     = "kept"
	hookRepeated = "repeated" // it was here before
	hookNothing  = "nothing"  // it says nothing to the bridge
	hookRefused  = "refused"
	hookDead     = "dead"   // kept, but nothing can be read in it
	hookFailed   = "failed" // not kept, by our own fault: the sender tries again
)

// strangers is the label of deliveries at names at which nobody ever proved to be a sender,
// so that strangers cannot make labels.
const strangers = "unknown"

// NewHooks returns the addresses of the receivers behind door.
func NewHooks(door HookDoor) *Hooks {
	return &Hooks{door: door, known: map[string]bool{}, deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "drawbridge_hook_deliveries_total", Help: "Deliveries of senders, by receiver and what became of them.",
	}, []string{"receiver", "result"})}
}

// Describe implements prometheus.Collector.
func (h *Hooks) Describe(out chan<- *prometheus.Desc) { h.deliveries.Describe(out) }

// Collect implements prometheus.Collector.
func (h *Hooks) Collect(out chan<- prometheus.Metric) { h.deliveries.Collect(out) }

// Routes are the rows. They are anonymous: the delivery itself is the proof.
func (h *Hooks) Routes() []Route {
	return []Route{
		{Method: http.MethodPost, Pattern: hooksPath + "{name}", Anonymous: true, Handler: h.take},
		{Method: http.MethodPost, Pattern: hooksPath + "{name}/{secret...}", Anonymous: true, Handler: h.take},
	}
}

// hooksPath begins the addresses that may end in a secret.
const hooksPath = api.HooksPath

func (h *Hooks) take(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, bridge.MaxEvent)
	body, err := Body(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	taken, err := h.door.Deliver(r.Context(), name, HookRequest{Header: r.Header, Path: r.PathValue("secret"), Body: body})
	h.count(name, taken, err)
	switch {
	case err != nil:
		return err
	case taken.Answer != nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(taken.Answer) // a client that went away is nobody's fault
		return nil
	case len(taken.Events) == 0:
		return Reply(w, http.StatusOK, api.Hooked{Events: []int64{}})
	}
	return Reply(w, http.StatusAccepted, api.Hooked{Events: eventIDs(taken.Events), Fresh: taken.Fresh})
}

// count keeps what became of a delivery.
func (h *Hooks) count(name string, taken Taken, err error) {
	result := hookResult(taken, err)
	h.mu.Lock()
	if err == nil {
		h.known[name] = true
	} else if !h.known[name] {
		name = strangers
	}
	h.mu.Unlock()
	h.deliveries.WithLabelValues(name, result).Inc()
}

func hookResult(taken Taken, err error) string {
	switch f := fault.As(err); {
	case errors.Is(err, context.Canceled):
		return hookFailed
	case f != nil && f.Kind != fault.Internal && f.Kind != fault.Unavailable && f.Kind != fault.Full:
		return hookRefused
	case err != nil:
		return hookFailed
	case len(taken.Events) == 0:
		return hookNothing
	case !taken.Fresh:
		return hookRepeated
	case taken.Events[0].State == bridge.EventDead:
		return hookDead
	}
	return hookKept
}

func eventIDs(list []bridge.Event) []int64 {
	return each(list, func(e bridge.Event) int64 { return e.ID })
}

// logged is a request's path as logs may have it: the address of a receiver ends at its name.
func logged(path string) string {
	rest, ok := strings.CutPrefix(path, hooksPath)
	if !ok {
		return path
	}
	name, _, _ := strings.Cut(rest, "/")
	return hooksPath + name
}
