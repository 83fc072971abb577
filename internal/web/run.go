package web

import (
	"context"
	"io"
	"net/http"

	"drawbridge/internal/ci"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// RunReader reads runs and what belongs to their jobs.
type RunReader interface {
	ci.Runs
	ci.Details
}

// RunService acts on runs; *ci.Service implements it.
type RunService interface {
	// Cancel stops a run that is queued or running; Conflict for any other.
	Cancel(ctx context.Context, run int64, by string) error
	// CopyLog writes the log of a job from offset on, with follow until the job has ended.
	CopyLog(ctx context.Context, w io.Writer, job, offset int64, follow bool) error
}

// RunRoutes are the rows of runs.
func RunRoutes(store RunReader, service RunService) []Route {
	h := runHandlers{store, service}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/runs", Action: identity.Read, Handler: h.list,
			Summary: "List runs, newest first", Paged: true, Response: api.Run{},
			Query: []Param{
				{"repository", "Only runs of this repository."},
				{"ref", "Only runs of this ref, as refs/heads/main."},
				{"state", "Only runs in this state."},
			},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/runs/{id}", Action: identity.Read, Handler: h.show,
			Summary: "Show a run with its jobs, steps, artifacts and reports", Response: api.Run{},
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/runs/{id}/log", Action: identity.Read, Handler: h.log,
			Summary: "Read a run's log", Media: "text/plain",
			Query: []Param{
				{"job", "Key of one of its jobs; absent: all of them, in the order of the workflow file."},
				{"offset", "Leave out so many bytes."},
				{"follow", "true: go on until the jobs have ended."},
			},
		},
		{
			Method: http.MethodPost, Pattern: "/api/v1/runs/{id}/cancel", Action: identity.Push, Handler: h.cancel,
			Summary: "Cancel a run", Response: api.Run{},
		},
	}
}

type runHandlers struct {
	store   RunReader
	service RunService
}

func (h runHandlers) list(w http.ResponseWriter, r *http.Request) error {
	p, before, err := storePage(r)
	if err != nil {
		return err
	}
	state, err := word(r, "state", ci.RunStates())
	if err != nil {
		return err
	}
	q := r.URL.Query()
	f := ci.RunFilter{Repository: q.Get("repository"), Ref: q.Get("ref"), Before: before, Limit: p.Limit}
	if state != "" {
		f.States = []ci.RunState{state}
	}
	found, err := h.store.ListRuns(r.Context(), f)
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, each(found, api.RunOf), func(v api.Run) string { return itoa(v.ID) })
}

func (h runHandlers) show(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	run, err := h.whole(r.Context(), id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, run)
}

// whole is a run with all that belongs to it.
func (h runHandlers) whole(ctx context.Context, id int64) (api.Run, error) {
	run, err := h.store.Run(ctx, id)
	if err != nil {
		return api.Run{}, err
	}
	out := api.RunOf(run)
	jobs, err := h.store.Jobs(ctx, id)
	if err != nil {
		return out, err
	}
	for _, j := range jobs {
		steps, err := h.store.Steps(ctx, j.ID)
		if err != nil {
			return out, err
		}
		out.Jobs = append(out.Jobs, api.JobOf(j, steps))
	}
	published, reports, err := h.store.Published(ctx, id)
	if err != nil {
		return out, err
	}
	out.Published = each(published, api.PublishedOf)
	for _, rep := range reports {
		one, err := api.ReportOf(rep, jobs)
		if err != nil {
			return out, err
		}
		out.Reports = append(out.Reports, one)
	}
	return out, nil
}

func (h runHandlers) cancel(w http.ResponseWriter, r *http.Request) error {
	id, err := ID(r, "id")
	if err != nil {
		return err
	}
	if err := h.service.Cancel(r.Context(), id, Token(r.Context()).Name); err != nil {
		return err
	}
	run, err := h.whole(r.Context(), id)
	if err != nil {
		return err
	}
	return Reply(w, http.StatusOK, run)
}
