package web

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"drawbridge/internal/identity"
)

// baseRoutes are the rows of the server itself.
func (s *Server) baseRoutes() []Route {
	static := http.FileServerFS(files)
	metrics := promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{})
	return []Route{
		{Method: http.MethodGet, Pattern: "/healthz", Anonymous: true, Handler: s.healthz},
		{Method: http.MethodGet, Pattern: "/readyz", Anonymous: true, Handler: s.readyz},
		{Method: http.MethodGet, Pattern: "/login", Anonymous: true, Handler: s.loginPage},
		{Method: http.MethodPost, Pattern: "/login", Anonymous: true, Handler: s.login},
		{Method: http.MethodPost, Pattern: "/logout", Anonymous: true, Handler: s.logout},
		{Method: http.MethodGet, Pattern: "/static/{file}", Anonymous: true, Handler: func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Cache-Control", "public, max-age=300")
			static.ServeHTTP(w, r)
			return nil
		}},
		{Method: http.MethodGet, Pattern: "/metrics", Action: identity.Read, Handler: func(w http.ResponseWriter, r *http.Request) error {
			metrics.ServeHTTP(w, r)
			return nil
		}},
	}
}

// healthz says that the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error { return plain(w, "ok\n") }

// readyz says that the server can do its work.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if err := s.cfg.Ready(r.Context()); err != nil {
		return err
	}
	return plain(w, "ready\n")
}

func plain(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // a client that went away is nobody's fault
	return nil
}
