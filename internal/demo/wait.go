package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
	"drawbridge/internal/web/api"
)

// look is how often the story looks whether something has come about.
const look = 50 * time.Millisecond

// until asks again and again until there is an answer; ctx ends it with what was seen last.
func until[T any](ctx context.Context, what string, ask func() (v T, ok bool, seen string, err error)) (T, error) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		v, ok, seen, err := ask()
		if err != nil || ok {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("%s did not come about: %s", what, seen)
		case <-tick.C:
		}
	}
}

// run waits for the newest run of a repository's commit message to end; after is the id
// of the run before it.
func (s *story) run(ctx context.Context, repository string, after int64) (api.Run, error) {
	return until(ctx, "the end of the run", func() (api.Run, bool, string, error) {
		var page api.List[api.Run]
		if err := s.api.Get(ctx, "/api/v1/runs?limit=1&repository="+repository, &page); err != nil {
			return api.Run{}, false, "", err
		}
		if len(page.Items) == 0 || page.Items[0].ID <= after {
			return api.Run{}, false, "no run began", nil
		}
		r := page.Items[0]
		switch r.State {
		case ci.RunSucceeded, ci.RunFailed, ci.RunCancelled:
			err := s.api.Get(ctx, fmt.Sprintf("/api/v1/runs/%d", r.ID), &r)
			return r, true, "", err
		case ci.RunQueued, ci.RunRunning, ci.RunSealing:
		}
		return r, false, fmt.Sprintf("run %d is %s", r.ID, r.State), nil
	})
}

// lastRun is the id of the newest run, 0 when there is none.
func (s *story) lastRun(ctx context.Context) (int64, error) {
	var page api.List[api.Run]
	if err := s.api.Get(ctx, "/api/v1/runs?limit=1", &page); err != nil || len(page.Items) == 0 {
		return 0, err
	}
	return page.Items[0].ID, nil
}

// outcome waits for the handoff of an image tag.
func (s *story) outcome(ctx context.Context, tag string) (api.Handoff, error) {
	return until(ctx, "a handoff of "+tag, func() (api.Handoff, bool, string, error) {
		var page api.List[api.Handoff]
		if err := s.api.Get(ctx, "/api/v1/handoffs?limit=20", &page); err != nil {
			return api.Handoff{}, false, "", err
		}
		for _, h := range page.Items {
			if ref := h.Image; len(ref) > 0 && hasTag(ref, tag) {
				return h, true, "", nil
			}
		}
		return api.Handoff{}, false, "no handoff names it", nil
	})
}

// live waits until an environment runs a version and nothing moves there any more.
func (s *story) live(ctx context.Context, environment, version string) (cd.Status, error) {
	return until(ctx, environment+" with "+version, func() (cd.Status, bool, string, error) {
		st, err := s.status(ctx, environment)
		ok := st.Version == version && st.Coming == ""
		return st, ok, fmt.Sprintf("%s runs %q; %s %s", environment, st.Version, st.State, st.Reason), err
	})
}

func (s *story) status(ctx context.Context, environment string) (cd.Status, error) {
	var page api.List[cd.Status]
	if err := s.api.Get(ctx, "/api/v1/status?application=shop", &page); err != nil {
		return cd.Status{}, err
	}
	for _, st := range page.Items {
		if st.Environment == environment {
			return st, nil
		}
	}
	return cd.Status{}, fmt.Errorf("there is no environment %s", environment)
}

// promotion waits until a promotion of a version into production is as it should be.
func (s *story) promotion(ctx context.Context, version, what string, is func(api.Promotion) bool) (api.Promotion, error) {
	return until(ctx, version+" "+what, func() (api.Promotion, bool, string, error) {
		var page api.List[api.Promotion]
		err := s.api.Get(ctx, "/api/v1/promotions?limit=20&application=shop&environment=production", &page)
		if err != nil {
			return api.Promotion{}, false, "", err
		}
		seen := "no promotion of it"
		for _, p := range page.Items {
			if p.Version != version {
				continue
			}
			if is(p) {
				return p, true, "", nil
			}
			seen = fmt.Sprintf("promotion %d is %s: %s", p.ID, p.State, p.Reason)
			break
		}
		return api.Promotion{}, false, seen, nil
	})
}

func waitsForApproval(p api.Promotion) bool {
	return p.State == cd.Waiting && p.Signal == cd.SignalApproval
}

// shared reports whether the candidate has 10 % of the traffic and is being watched.
func shared(p api.Promotion) bool { return p.Weight == 10 && !p.State.Ended() }

// answers asks an environment what it is, as curl would.
func answers(ctx context.Context, address string) (version string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: address, Path: "/"}).String(), nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // read below
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return "", err
	}
	var says struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(body, &says); err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answers %s: %.200s", address, resp.Status, body)
	}
	return says.Version, nil
}

// must is an error unless an environment's address answers with a version.
func must(ctx context.Context, address, version string) error {
	got, err := answers(ctx, address)
	if err == nil && got != version {
		err = fmt.Errorf("%s answers with version %s, want %s", address, got, version)
	}
	return err
}

func hasTag(image, tag string) bool {
	ref, err := parse(image)
	return err == nil && ref.Tag == tag
}
