package web

import (
	"net/http"

	"drawbridge/internal/identity"
)

// frame is what the head of every page needs.
type frame struct {
	Title   string // of the page; empty for the first one
	Section string // the part of the navigation that the page belongs to
	Script  string // file below /static/
	Bridge  bool   // this server has the pages of the bridge
	Name    string // who looks
	Role    identity.Role
}

func framed(r *http.Request, title, section string, bridge bool) frame {
	t := Token(r.Context())
	return frame{Title: title, Section: section, Script: "page.js", Bridge: bridge, Name: t.Name, Role: t.Role}
}
