package cd

import (
	"context"
	"fmt"
	"time"

	"drawbridge/internal/artifact"
)

// Status is what one environment is and what is on its way there.
type Status struct {
	Application string          `json:"application"`
	Environment string          `json:"environment"`
	Address     string          `json:"address"` // host:port; empty while nothing ran here
	Release     string          `json:"release"` // release id; empty while nothing runs
	Version     string          `json:"version"`
	Digest      artifact.Digest `json:"digest"`
	Since       time.Time       `json:"since,omitzero"`
	Promotion   PromotionID     `json:"promotion"`         // the newest that has not ended, or the one that made what runs
	State       State           `json:"state"`             // of that promotion
	Step        string          `json:"step,omitempty"`    // of that promotion, while it has not ended
	Coming      string          `json:"coming,omitempty"`  // version on its way
	Reason      string          `json:"reason,omitempty"`  // why it waits or how it ended
	Frozen      string          `json:"frozen,omitempty"`  // until when, by whom and why nothing may move here
	Stale       bool            `json:"stale"`             // the delivery is newer than what was deployed
	Traffic     []Traffic       `json:"traffic,omitempty"` // of the versions that run, as the target has it
}

// Traffic is one version's share and figures.
type Traffic struct {
	Version string  `json:"version"`
	Digest  string  `json:"digest"`
	Weight  int     `json:"weight"`
	Healthy bool    `json:"healthy"`
	Reason  string  `json:"reason,omitempty"`
	Figures Figures `json:"figures"`
}

// Status reports on every environment of an application, or of all with "".
func (s *Service) Status(ctx context.Context, application string) ([]Status, error) {
	rows, err := s.Store.Environments(ctx, application)
	if err != nil {
		return nil, err
	}
	out := make([]Status, 0, len(rows))
	for _, row := range rows {
		st, err := s.status(ctx, row)
		if err != nil {
			return nil, err
		}
		out = append(out, st)
	}
	return out, nil
}

func (s *Service) status(ctx context.Context, row EnvironmentRow) (Status, error) {
	st := Status{Application: row.Ref.Application, Environment: row.Ref.Name, Address: row.Address}
	if row.Live != 0 {
		live, err := s.Store.Promotion(ctx, row.Live)
		if err != nil {
			return st, err
		}
		_, version, err := s.Store.Delivery(ctx, row.Ref.Application, 0)
		if err != nil {
			return st, err
		}
		st.Release, st.Version, st.Digest, st.Since = live.Plan.Release, live.Plan.Version, live.Plan.Candidate.Image.Digest, live.Ended
		st.Promotion, st.State, st.Stale = live.ID, live.State, version > live.Plan.Delivery
	}
	newest, err := s.newest(ctx, row)
	if err != nil {
		return st, err
	}
	if newest != nil && newest.ID > st.Promotion {
		st.Promotion, st.State, st.Reason = newest.ID, newest.State, newest.Reason
		if !newest.State.Ended() {
			st.Coming, st.Step = newest.Plan.Version, newest.Current().String()
		}
	}
	f, err := s.freezeOf(ctx, row.Ref, s.now())
	if err != nil {
		return st, err
	}
	if f != nil {
		st.Frozen = f.String()
	}
	a, err := s.Target.Observe(ctx, row.Ref)
	if err != nil {
		return st, err
	}
	for _, v := range a.Versions {
		st.Traffic = append(st.Traffic, Traffic{Version: s.versionOf(ctx, v.Release), Digest: v.Digest.String(), Weight: v.Weight, Healthy: v.Healthy, Reason: v.Reason, Figures: v.Figures})
	}
	return st, nil
}

func (s *Service) versionOf(ctx context.Context, release string) string {
	r, err := s.Store.Release(ctx, release)
	if err != nil {
		return release
	}
	return r.Version
}

// newest is the promotion to speak of: the one that holds the environment, else the newest.
func (s *Service) newest(ctx context.Context, row EnvironmentRow) (*Promotion, error) {
	if row.Active != 0 {
		p, err := s.Store.Promotion(ctx, row.Active)
		return &p, err
	}
	list, err := s.Store.Promotions(ctx, PromotionFilter{Environment: row.Ref, Limit: 1})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Answer says why something moves or does not, and what to do next.
type Answer struct {
	About string `json:"about"` // "shop/production", "promotion 5"
	Says  string `json:"says"`  // one line
	Hint  string `json:"hint,omitempty"`
}

// WhyPromotion explains one promotion.
func (s *Service) WhyPromotion(ctx context.Context, id PromotionID) (Answer, error) {
	p, err := s.Store.Promotion(ctx, id)
	if err != nil {
		return Answer{}, err
	}
	return s.explained(ctx, p)
}

// explained is explain with the freeze that keeps p where it is.
func (s *Service) explained(ctx context.Context, p Promotion) (Answer, error) {
	a := explain(p)
	if p.State != Queued && !p.frozen() {
		return a, nil
	}
	f, err := s.freezeOf(ctx, p.Environment(), s.now())
	if err == nil && f != nil && a.Hint == "" {
		a.Hint = fmt.Sprintf("drawbridge freeze lift %d", f.ID)
	}
	return a, err
}

// WhyEnvironments explains every environment of an application, or of all with "".
func (s *Service) WhyEnvironments(ctx context.Context, application string) ([]Answer, error) {
	rows, err := s.Store.Environments(ctx, application)
	if err != nil {
		return nil, err
	}
	var out []Answer
	for _, row := range rows {
		p, err := s.newest(ctx, row)
		if err != nil {
			return nil, err
		}
		a := Answer{Says: "nothing was ever asked for here", Hint: "drawbridge promote RELEASE --to " + row.Ref.Name}
		if p != nil {
			if a, err = s.explained(ctx, *p); err != nil {
				return nil, err
			}
			if p.State.Ended() && p.State != Done && row.Live != 0 {
				live, err := s.Store.Promotion(ctx, row.Live)
				if err != nil {
					return nil, err
				}
				a.Says = fmt.Sprintf("%s runs here; %s", live.Plan.Version, a.Says)
			}
		}
		f, err := s.freezeOf(ctx, row.Ref, s.now())
		if err != nil {
			return nil, err
		}
		if f != nil && (p == nil || p.State.Ended()) {
			a.Says += "; " + meets(*f)
		}
		a.About = row.Ref.String()
		out = append(out, a)
	}
	return out, nil
}

// explain is a promotion's state in one line with the next step to take.
func explain(p Promotion) Answer {
	a := Answer{About: fmt.Sprintf("promotion %d of %s to %s", p.ID, p.Plan.Version, p.Environment())}
	switch p.State {
	case Waiting, Queued:
		a.Says = fmt.Sprintf("%s (promotion %d) %s", p.Plan.Version, p.ID, p.Reason)
		if p.Signal == SignalApproval {
			a.Hint = fmt.Sprintf("drawbridge approve %d -m TEXT", p.ID)
		}
	case Running:
		a.Says = fmt.Sprintf("%s (promotion %d) works on step %d of %d, %s; before it: %s", p.Plan.Version, p.ID, p.Step+1, len(p.Plan.Steps), p.Current(), p.Reason)
	case Undoing:
		a.Says = fmt.Sprintf("%s (promotion %d) is being undone: %s", p.Plan.Version, p.ID, p.Reason)
	case Done:
		a.Says = fmt.Sprintf("%s (promotion %d) is done and runs here: %s", p.Plan.Version, p.ID, p.Reason)
	case Undone, Failed, Rejected, Superseded:
		a.Says = fmt.Sprintf("%s (promotion %d) was %s: %s", p.Plan.Version, p.ID, p.State, p.Reason)
		a.Hint = fmt.Sprintf("drawbridge promotion show %d", p.ID)
	}
	return a
}
