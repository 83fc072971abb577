package client

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// maxEvent is the longest line of a stream, in bytes.
const maxEvent = 4 << 20

// Event is one server-sent event.
type Event struct {
	ID   string          // empty when it has none
	Name string          // "message" when it has none
	Data json.RawMessage // its lines joined
}

// Stream calls fn with each server-sent event at path until the server ends the stream,
// fn returns an error, which Stream returns, or ctx ends. An event named "problem" ends it
// with the fault that it stands for.
func (c *Client) Stream(ctx context.Context, path string, fn func(Event) error) error {
	resp, err := c.do(ctx, http.MethodGet, path, "", nil, "text/event-stream")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end, or given up
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	var e Event
	var data []string
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if err := dispatch(e, data, fn); err != nil {
				return err
			}
			e, data = Event{}, nil
		case key == "id":
			e.ID = value
		case key == "event":
			e.Name = value
		case key == "data":
			data = append(data, value)
		}
	}
	if err := lines.Err(); err != nil {
		return c.broken(ctx, err)
	}
	return nil
}

// dispatch hands one event on; an event without data is none.
func dispatch(e Event, data []string, fn func(Event) error) error {
	if len(data) == 0 {
		return nil
	}
	e.Data = json.RawMessage(strings.Join(data, "\n"))
	if e.Name == "" {
		e.Name = "message"
	}
	if e.Name != "problem" {
		return fn(e)
	}
	var p api.Problem
	if err := json.Unmarshal(e.Data, &p); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the stream broke off")
	}
	return p.Fault()
}
