package citest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/audit"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// Store runs the suite that every implementation of ci.Store passes; open gives an empty
// one each time.
func Store(t *testing.T, open func(t *testing.T) ci.Store) {
	for name, test := range map[string]func(*testing.T, ci.Store){
		"repositories":                   repositories,
		"a push is recorded once":        pushOnce,
		"a run reads back":               runReadsBack,
		"runs are listed":                runsListed,
		"of two changes one is saved":    oneChange,
		"a change is whole or not there": wholeChange,
		"what a run made reads back":     madeReadsBack,
		"bundles are written once":       bundlesOnce,
		"the outbox keeps an event once": outboxOnce,
		"what is not there is not found": notFound,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

var at = time.Date(2030, 1, 2, 3, 4, 5, 6_000_000, time.UTC)

const (
	commitA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	commitB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func entry(action string) audit.Entry { return audit.Entry{At: at, Actor: "alice", Action: action} }

func create(t *testing.T, s ci.Store, name string) {
	t.Helper()
	r := ci.Repository{Name: name, Protected: ci.DefaultProtected(), Created: at}
	if err := s.CreateRepository(t.Context(), r, entry("repository.create")); err != nil {
		t.Fatalf("CreateRepository(%q) = %v, want nil", name, err)
	}
}

var push = ci.RefChange{Ref: "refs/heads/main", Old: ci.NoCommit, New: commitA, Pusher: "alice", At: at}

func newRun(file string) ci.NewRun {
	return ci.NewRun{
		Run: ci.Run{
			Repository: "shop", Ref: push.Ref, Old: push.Old, Commit: push.New, Pusher: "alice", Chain: "c0ffee", File: file,
			Name: "müßig '\"\\;--", Source: []byte("jobs: {}\n\x01\xff"), State: ci.RunQueued, Attempt: 1, Pushed: at, Created: at,
		},
		Jobs:   []ci.RunJob{{Key: "test", Name: "Test", State: ci.JobWaiting}, {Key: "build", Name: "Build", State: ci.JobWaiting}},
		Record: []audit.Entry{entry("run.queue")}, Next: []ci.Task{{Name: ci.TaskRun}},
	}
}

func insert(t *testing.T, s ci.Store) (ci.Run, []ci.RunJob) {
	t.Helper()
	create(t, s, "shop")
	runs, err := s.InsertRuns(t.Context(), "shop", push, []ci.NewRun{newRun("ci.yaml")}, told(push))
	if err != nil || len(runs) != 1 {
		t.Fatalf("InsertRuns = %v, %v, want one run", runs, err)
	}
	jobs, err := s.Jobs(t.Context(), runs[0].ID)
	if err != nil || len(jobs) != 2 {
		t.Fatalf("Jobs = %v, %v, want two", jobs, err)
	}
	return runs[0], jobs
}

func wantKind(t *testing.T, what string, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("%s = %v, want a fault of kind %s", what, err, kind)
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b artifact.Digest) bool { return a == b })); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func repositories(t *testing.T, s ci.Store) {
	for _, name := range []string{"shop", "api", "web"} {
		create(t, s, name)
	}
	wantKind(t, "a second repository of the name", s.CreateRepository(t.Context(), ci.Repository{Name: "shop", Created: at}, entry("x")), fault.Conflict)
	got, err := s.Repository(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "repository", ci.Repository{Name: "shop", Protected: ci.DefaultProtected(), Created: at}, got)
	var names []string
	for after := ""; ; {
		page, err := s.ListRepositories(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			names = append(names, r.Name)
			after = r.Name
		}
		if len(page) < 2 {
			break
		}
	}
	diff(t, "names", []string{"api", "shop", "web"}, names)
}

func pushOnce(t *testing.T, s ci.Store) {
	insert(t, s)
	again, err := s.InsertRuns(t.Context(), "shop", push, []ci.NewRun{newRun("ci.yaml"), newRun("other.yaml")}, told(push))
	if err != nil || len(again) != 1 || again[0].File != "other.yaml" || again[0].Number != 2 {
		t.Errorf("the push again = %+v, %v, want only other.yaml, number 2", again, err)
	}
	refs, err := s.Refs(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "refs", map[string]string{push.Ref: commitA}, refs)
	gone := ci.RefChange{Ref: push.Ref, Old: commitA, New: ci.NoCommit, Pusher: "alice", At: at}
	if _, err := s.InsertRuns(t.Context(), "shop", gone, nil, told(gone)); err != nil {
		t.Fatal(err)
	}
	if refs, err = s.Refs(t.Context(), "shop"); err != nil || len(refs) != 0 {
		t.Errorf("refs after the deletion = %v, %v, want none", refs, err)
	}
}

func runReadsBack(t *testing.T, s ci.Store) {
	run, jobs := insert(t, s)
	want := newRun("ci.yaml").Run
	want.ID, want.Number, want.Version = run.ID, 1, 1
	got, err := s.Run(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "run", want, got)
	j := jobs[0]
	j.State, j.Attempt, j.Reason = ci.JobFailed, 3, "exit code 1"
	j.Outputs = map[string]string{"a": "€\n"}
	j.Facts = ci.Facts{Name: "sandbox", Limits: []string{"memory"}}
	j.Queued, j.Started, j.Ended = at, at.Add(time.Second), at.Add(time.Minute)
	if err := s.Save(t.Context(), ci.Change{Jobs: []ci.RunJob{j}}); err != nil {
		t.Fatal(err)
	}
	j.Version++
	back, err := s.Job(t.Context(), j.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "job", j, back)
	if got, err = s.Run(t.Context(), run.ID); err != nil || got.Attempt != 3 {
		t.Errorf("attempt of the run = %d, %v, want 3", got.Attempt, err)
	}
}

func runsListed(t *testing.T, s ci.Store) {
	run, _ := insert(t, s)
	for i := range 4 {
		if _, err := s.InsertRuns(t.Context(), "shop", push, []ci.NewRun{newRun(fmt.Sprintf("%d.yaml", i))}, told(push)); err != nil {
			t.Fatal(err)
		}
	}
	run.State, run.Ended = ci.RunFailed, at
	if err := s.Save(t.Context(), ci.Change{Run: &run}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		filter ci.RunFilter
		want   []int64
	}{
		"all":        {ci.RunFilter{}, []int64{5, 4, 3, 2, 1}},
		"page":       {ci.RunFilter{Before: 4, Limit: 2}, []int64{3, 2}},
		"state":      {ci.RunFilter{States: []ci.RunState{ci.RunFailed, ci.RunSealing}}, []int64{1}},
		"repository": {ci.RunFilter{Repository: "other"}, nil},
		"ref":        {ci.RunFilter{Repository: "shop", Ref: push.Ref, Limit: 1}, []int64{5}},
		"hostile":    {ci.RunFilter{Repository: "' OR 1=1 --"}, nil},
	} {
		list, err := s.ListRuns(t.Context(), tt.filter)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		if !slices.Equal(ids, tt.want) {
			t.Errorf("%s: %v, want %v", name, ids, tt.want)
		}
	}
}

func oneChange(t *testing.T, s ci.Store) {
	run, _ := insert(t, s)
	const n = 6
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r := run
			r.State, r.Started = ci.RunRunning, at
			errs[i] = s.Save(t.Context(), ci.Change{Run: &r})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			wantKind(t, "a change that lost", err, fault.Conflict)
		}
	}
	if won != 1 {
		t.Errorf("%d changes were saved, want 1", won)
	}
}

func wholeChange(t *testing.T, s ci.Store) {
	run, jobs := insert(t, s)
	run.State, run.Started = ci.RunRunning, at
	stale := jobs[1]
	stale.Version = 7
	err := s.Save(t.Context(), ci.Change{Run: &run, Jobs: []ci.RunJob{jobs[0], stale}, Record: []audit.Entry{entry("x")}})
	wantKind(t, "a change with a stale job", err, fault.Conflict)
	if got, err := s.Run(t.Context(), run.ID); err != nil || got.State != ci.RunQueued {
		t.Errorf("the run is %s, %v, want queued", got.State, err)
	}
}

func madeReadsBack(t *testing.T, s ci.Store) {
	run, jobs := insert(t, s)
	c := ci.Change{
		Steps: []ci.Step{{Job: jobs[0].ID, Attempt: 1, Number: 1, Name: "go", State: ci.StepFailed, Exit: -1, Reason: "SIGKILL", Summary: "# hi", Started: at, Ended: at}},
		Publications: []ci.Publication{{
			Run: run.ID, Job: jobs[0].ID, Attempt: 1, Image: artifact.Reference{Repository: "shop/web"},
			Digest: artifact.DigestOf([]byte("x")), Tags: []string{"1.0.0"}, SBOM: []byte(`{}`), At: at,
		}},
		Reports: []ci.Report{{Run: run.ID, Job: jobs[0].ID, Attempt: 1, Kind: "tests", File: "t.json", Body: []byte(`{"passed":1}`)}},
	}
	if err := s.Save(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	steps, err := s.Steps(t.Context(), jobs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "steps", c.Steps, steps)
	published, reports, err := s.Published(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "publications", c.Publications, published)
	diff(t, "reports", c.Reports, reports)
}

func bundlesOnce(t *testing.T, s ci.Store) {
	run, _ := insert(t, s)
	ref := artifact.Reference{Repository: "shop/web"}.WithDigest(artifact.DigestOf([]byte("x")))
	bundles := []ci.Bundle{
		{Run: run.ID, Number: 1, Artifact: ref, Predicate: "a", Body: []byte("one"), At: at},
		{Run: run.ID, Number: 2, Artifact: ref, Predicate: "b", Body: []byte("two"), At: at},
	}
	if err := s.Save(t.Context(), ci.Change{Run: &run, Bundles: bundles}); err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(bundles)
	other[0].Body = []byte("forged")
	wantKind(t, "bundles again", s.Save(t.Context(), ci.Change{Bundles: other}), fault.Conflict)
	got, err := s.Bundles(t.Context(), run.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "bundles", bundles, got)
}

func outboxOnce(t *testing.T, s ci.Store) {
	run, _ := insert(t, s)
	before, err := s.Unposted(t.Context(), 0, 10)
	if err != nil || len(before) != 1 || before[0].Source != "/git" {
		t.Fatalf("the outbox holds %v, %v, want the event of the push", before, err)
	}
	e := ci.Event{Source: "/ci", Key: "run/1/shop/web", Run: run.ID, Body: []byte("{}"), Created: at}
	other := ci.Event{Source: "/registry", Key: e.Key, Body: []byte("{}"), Created: at}
	for range 2 {
		if err := s.Save(t.Context(), ci.Change{Events: []ci.Event{e, other}}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.Unposted(t.Context(), before[0].ID, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("the outbox holds %v, %v, want two events", list, err)
	}
	e.ID = list[0].ID
	diff(t, "event", e, list[0])
	e.Posted = at.Add(time.Second)
	if err := s.Save(t.Context(), ci.Change{Posted: &e}); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "posted again", s.Save(t.Context(), ci.Change{Posted: &e}), fault.Conflict)
	got, err := s.Event(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "event", e, got)
	if list, err = s.Unposted(t.Context(), before[0].ID, 10); err != nil || len(list) != 1 || list[0].Key != other.Key || list[0].Source != other.Source {
		t.Errorf("unposted = %v, %v, want the other event", list, err)
	}
}

func notFound(t *testing.T, s ci.Store) {
	_, err := s.Repository(t.Context(), "x")
	wantKind(t, "Repository", err, fault.NotFound)
	_, err = s.Run(t.Context(), 1)
	wantKind(t, "Run", err, fault.NotFound)
	_, err = s.Job(t.Context(), 1)
	wantKind(t, "Job", err, fault.NotFound)
	_, err = s.Event(t.Context(), 1)
	wantKind(t, "Event", err, fault.NotFound)
}

// told is the event of a push.
func told(c ci.RefChange) ci.Event {
	return ci.Event{Source: "/git", Key: c.Ref + " " + c.Old + ".." + c.New, Body: []byte("{}"), Created: c.At}
}
