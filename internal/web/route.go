package web

import (
	"fmt"
	"net/http"
	"strings"

	"drawbridge/internal/identity"
)

// Handler answers one request or returns an error, which one adapter renders as a
// problem. It must not have written anything when it returns an error.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Route is one row of the route table. What is in no row is not served; a row that
// names neither an action nor Anonymous is refused at start.
type Route struct {
	Method    string          // GET, POST, PUT or DELETE
	Pattern   string          // path as net/http has it, for example "/api/v1/runs/{id}"
	Action    identity.Action // what the caller's token must be allowed to do
	Anonymous bool            // served without a token; then Action is empty
	Handler   Handler

	// The rest is for the OpenAPI document, which lists the rows below /api/.
	Summary  string  // one line without a full stop
	Query    []Param // query parameters
	Paged    bool    // takes limit and after, answers api.List
	Request  any     // a value of the type of the JSON body; nil: none
	Response any     // a value of the type of the JSON answer; nil: no content
	Media    string  // media type of the answer when it is no JSON
	Accepts  string  // media type of the body when it is not application/json
	Status   int     // of success; 0 means 200, or 204 without Response and Media
}

// Param describes one query parameter.
type Param struct {
	Name string // as it stands in the URL
	Text string // what it does, one line
}

func (r Route) check() error {
	switch {
	case r.Handler == nil:
		return fmt.Errorf("route %s %s has no handler", r.Method, r.Pattern)
	case r.Anonymous == (r.Action != ""):
		return fmt.Errorf("route %s %s must name either an action or Anonymous", r.Method, r.Pattern)
	case !r.Anonymous && !identity.Known(r.Action):
		return fmt.Errorf("route %s %s names the unknown action %q", r.Method, r.Pattern, r.Action)
	case r.documented() && r.Summary == "":
		return fmt.Errorf("route %s %s has no summary", r.Method, r.Pattern)
	}
	return nil
}

func (r Route) documented() bool { return strings.HasPrefix(r.Pattern, "/api/") }

// page reports whether r is for a person with a browser, who is led to the login page.
func (r Route) page() bool { return !r.documented() && r.Method == http.MethodGet }

func (r Route) status() int {
	switch {
	case r.Status != 0:
		return r.Status
	case r.Response == nil && r.Media == "":
		return http.StatusNoContent
	}
	return http.StatusOK
}
