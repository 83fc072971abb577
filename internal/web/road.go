package web

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
)

const (
	lookEvery  = time.Second     // how often the page's figures are read while somebody looks
	streamLife = 5 * time.Minute // then the browser comes again, with a token that must still hold
)

// RoadCI is what the page reads of CI.
type RoadCI interface {
	// ListRepositories lists up to limit repositories by name, those after the given name.
	ListRepositories(ctx context.Context, after string, limit int) ([]ci.Repository, error)
	// ListRuns lists runs, newest first.
	ListRuns(ctx context.Context, f ci.RunFilter) ([]ci.Run, error)
}

// RoadCD is what the page reads of CD.
type RoadCD interface {
	// Applications lists the names of the deliveries after a name, sorted.
	Applications(ctx context.Context, after string, limit int) ([]string, error)
	// Delivery returns an application's newest delivery for version 0.
	Delivery(ctx context.Context, application string, version int64) (cd.Delivery, int64, error)
	cd.PromotionReader
}

// RoadStatus says what runs where; *cd.Service implements it.
type RoadStatus interface {
	// Status reports on every environment of an application.
	Status(ctx context.Context, application string) ([]cd.Status, error)
}

// Road is where the page gets what it shows. CI is nil on a server without that plane; CD,
// Status and Handoffs are nil together on one without the CD plane.
type Road struct {
	CI       RoadCI
	CD       RoadCD
	Status   RoadStatus
	Handoffs HandoffList
}

// RoadRoutes are the page with the road from commit to production, and its live feed.
func RoadRoutes(road Road) []Route {
	h := &roadHandlers{road: road}
	return []Route{
		{Method: http.MethodGet, Pattern: "/{$}", Action: identity.Read, Handler: h.page},
		{Method: http.MethodGet, Pattern: "/live", Action: identity.Read, Handler: h.live},
	}
}

// roadHandlers share one picture among all who look.
type roadHandlers struct {
	road  Road
	mu    sync.Mutex             // held while the picture is made, so that it is made once
	html  map[bool]template.HTML // for those who may promote, and for the others
	taken time.Time
}

// roadPage is the page of the road.
type roadPage struct {
	frame
	Road  template.HTML
	Asked *comingView // the promotion that the reader has just asked for
	In    string      // its environment
}

func (h *roadHandlers) page(w http.ResponseWriter, r *http.Request) error {
	html, err := h.picture(r.Context())
	if err != nil {
		return err
	}
	page := roadPage{frame: framed(r, "", "/", h.road.CD != nil), Road: html}
	page.Script = "road.js"
	if err := h.asked(r, &page); err != nil {
		return err
	}
	return render(w, http.StatusOK, "road.html", page)
}

// asked finds the promotion that the parameter promotion names, which the form of promotions
// leads to. What is no promotion is left out.
func (h *roadHandlers) asked(r *http.Request, page *roadPage) error {
	id, _ := number(r, "promotion") // 0 when it is none
	if id == 0 || h.road.CD == nil {
		return nil
	}
	p, err := h.road.CD.Promotion(r.Context(), cd.PromotionID(id))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v := coming(p)
	page.Asked, page.In = &v, p.Environment().String()
	return nil
}

// live sends the picture again whenever it has changed.
func (h *roadHandlers) live(w http.ResponseWriter, r *http.Request) error {
	return Stream(w, r, func(ctx context.Context, send func(Event) error) error {
		ctx, cancel := context.WithTimeout(ctx, streamLife)
		defer cancel()
		look := time.NewTicker(lookEvery)
		defer look.Stop()
		var last template.HTML
		for {
			html, err := h.picture(ctx)
			if err == nil && html != last {
				last = html
				err = send(Event{Name: "road", Data: string(html)})
			}
			if err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-look.C:
			}
		}
	})
}

// picture is the road as HTML for who asks, not older than the time between two looks.
func (h *roadHandlers) picture(ctx context.Context) (template.HTML, error) {
	promotes := identity.Can(Token(ctx).Role, identity.Promote)
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); now.Sub(h.taken) < lookEvery/2 {
		return h.html[promotes], nil
	}
	view, err := h.road.view(ctx)
	if err != nil {
		return "", fmt.Errorf("look at the road: %w", err)
	}
	html := map[bool]template.HTML{}
	for _, view.Promotes = range []bool{false, true} {
		var b strings.Builder
		if err := pages.ExecuteTemplate(&b, "road", view); err != nil {
			return "", err
		}
		html[view.Promotes] = template.HTML(b.String()) //nolint:gosec // G203: a template has just escaped it
	}
	h.html, h.taken = html, time.Now()
	return html[promotes], nil
}
