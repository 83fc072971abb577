package web

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/ci"
)

// How much of the past the page shows.
const (
	roadLanes    = 100
	roadRuns     = 3
	roadHandoffs = 3
	roadComing   = 20
)

// roadView is what the template shows.
type roadView struct {
	CI, CD   bool // planes of this server
	Promotes bool // who looks may ask for promotions
	Lanes    []laneView
}

// laneView is the road of one application, or of a repository that is no application's.
type laneView struct {
	Name       string
	Repository string // empty without a CI plane, or when its source is elsewhere
	Delivery   int64  // version; 0: nobody has applied one
	Runs       []runView
	Handoffs   []handoffView
	Stages     []stageView
}

type runView struct {
	ci.Run
	Short string // of the commit
	Tone  string
}

type handoffView struct {
	bridge.Handoff
	Tone string
	Name string // of what it is about: the version, else the tag
	On   string // what its trigger waits for; empty when a person asked
}

// stageView is one environment.
type stageView struct {
	cd.Status
	Short  string       // of the digest that runs
	Coming []comingView // promotions that have not ended, the first to come first
	Last   *comingView  // the newest one, when it ended otherwise than done
}

type comingView struct {
	ID        cd.PromotionID
	Version   string
	State     cd.State
	Tone      string
	Step      string // "step 3 of 7: shift 10 %"
	Reason    string
	Requester string
	Plan      artifact.Digest
	Approve   string // the command that approves it; empty when nobody is asked
}

// view reads everything that the page shows.
func (r Road) view(ctx context.Context) (roadView, error) {
	v := roadView{CI: r.CI != nil, CD: r.CD != nil}
	taken := map[string]bool{} // repositories that are some application's
	if r.CD != nil {
		names, err := r.CD.Applications(ctx, "", roadLanes)
		if err != nil {
			return v, err
		}
		for _, name := range names {
			lane, err := r.application(ctx, name)
			if err != nil {
				return v, err
			}
			taken[lane.Repository] = true
			v.Lanes = append(v.Lanes, lane)
		}
	}
	if r.CI == nil {
		return v, nil
	}
	repositories, err := r.CI.ListRepositories(ctx, "", roadLanes)
	if err != nil {
		return v, err
	}
	for _, repo := range repositories {
		if taken[repo.Name] {
			continue
		}
		lane := laneView{Name: repo.Name, Repository: repo.Name}
		if lane.Runs, err = r.runs(ctx, repo.Name); err != nil {
			return v, err
		}
		v.Lanes = append(v.Lanes, lane)
	}
	return v, nil
}

func (r Road) application(ctx context.Context, name string) (laneView, error) {
	d, version, err := r.CD.Delivery(ctx, name, 0)
	if err != nil {
		return laneView{}, err
	}
	lane, app := laneView{Name: name, Delivery: version}, d.Application(version)
	if r.CI != nil {
		lane.Repository = app.Artifacts[0].Repository
		if lane.Runs, err = r.runs(ctx, lane.Repository); err != nil {
			return lane, err
		}
	}
	if lane.Handoffs, err = r.handoffs(ctx, app); err != nil {
		return lane, err
	}
	lane.Stages, err = r.stages(ctx, name)
	return lane, err
}

func (r Road) runs(ctx context.Context, repository string) ([]runView, error) {
	list, err := r.CI.ListRuns(ctx, ci.RunFilter{Repository: repository, Limit: roadRuns})
	if err != nil {
		return nil, err
	}
	return each(list, func(run ci.Run) runView {
		return runView{Run: run, Short: run.Commit[:min(8, len(run.Commit))], Tone: runTone(run.State)}
	}), nil
}

// handoffs are the last accepted, refused and waiting ones, newest first: a refusal stays to
// be seen although others were accepted since.
func (r Road) handoffs(ctx context.Context, app bridge.Application) ([]handoffView, error) {
	var out []handoffView
	for _, state := range []bridge.HandoffState{bridge.Accepted, bridge.Refused, bridge.Waiting} {
		list, err := r.Handoffs(ctx, HandoffQuery{Application: app.Name, State: state, Limit: roadHandoffs})
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			t, _ := app.Trigger(h.Trigger)
			out = append(out, handoffView{h, handoffTone(state), cmp.Or(h.Version, h.Image.Tag, "?"), string(t.On)})
		}
	}
	slices.SortFunc(out, func(a, b handoffView) int { return cmp.Compare(b.ID, a.ID) })
	return out, nil
}

func (r Road) stages(ctx context.Context, application string) ([]stageView, error) {
	list, err := r.Status.Status(ctx, application)
	if err != nil {
		return nil, err
	}
	var out []stageView
	for _, st := range list {
		stage := stageView{Status: st, Short: st.Digest.Short()}
		ref := cd.EnvironmentRef{Application: application, Name: st.Environment}
		active, err := r.CD.Promotions(ctx, cd.PromotionFilter{Environment: ref, Active: true, Limit: roadComing})
		if err != nil {
			return nil, err
		}
		stage.Coming = each(active, coming)
		slices.Reverse(stage.Coming)
		newest, err := r.CD.Promotions(ctx, cd.PromotionFilter{Environment: ref, Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(newest) == 1 && newest[0].State.Ended() && newest[0].State != cd.Done {
			last := coming(newest[0])
			stage.Last = &last
		}
		out = append(out, stage)
	}
	return out, nil
}

func coming(p cd.Promotion) comingView {
	c := comingView{
		ID: p.ID, Version: p.Plan.Version, State: p.State, Tone: promotionTone(p.State), Reason: p.Reason,
		Requester: p.Requester, Plan: p.PlanDigest,
	}
	if !p.State.Ended() && p.State != cd.Queued && p.State != cd.Undoing {
		c.Step = fmt.Sprintf("step %d of %d: %s", p.Step+1, len(p.Plan.Steps), p.Current())
	}
	if p.Signal == cd.SignalApproval {
		c.Approve = fmt.Sprintf("drawbridge approve %d -m TEXT", p.ID)
	}
	return c
}

// Tones are how something is going, for people who glance; they are classes of the style sheet.
const (
	toneGood = "good"
	toneBad  = "bad"
	toneWait = "wait"
	toneWork = "work"
	toneFlat = "flat" // over, and nobody's concern
)

func runTone(s ci.RunState) string {
	switch s {
	case ci.RunQueued:
		return toneWait
	case ci.RunRunning, ci.RunSealing:
		return toneWork
	case ci.RunSucceeded:
		return toneGood
	case ci.RunFailed:
		return toneBad
	case ci.RunCancelled:
		return toneFlat
	}
	return toneFlat
}

func promotionTone(s cd.State) string {
	switch s {
	case cd.Queued, cd.Waiting:
		return toneWait
	case cd.Running:
		return toneWork
	case cd.Done:
		return toneGood
	case cd.Undoing, cd.Undone, cd.Failed, cd.Rejected:
		return toneBad
	case cd.Superseded:
		return toneFlat
	}
	return toneFlat
}

func handoffTone(s bridge.HandoffState) string {
	switch s {
	case bridge.Accepted:
		return toneGood
	case bridge.Refused:
		return toneBad
	case bridge.Waiting:
		return toneWait
	case bridge.Ignored:
		return toneFlat
	}
	return toneFlat
}
