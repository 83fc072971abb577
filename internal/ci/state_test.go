package ci_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

var runEvents = []ci.RunEvent{ci.RunStart, ci.RunPassed, ci.RunSealed, ci.RunFail, ci.RunCancel}

var jobEvents = []ci.JobEvent{ci.JobStart, ci.JobRestart, ci.JobPass, ci.JobFail, ci.JobSkip, ci.JobCancel}

// Laws of a run: what has ended stays as it is, nothing succeeds that was not sealed after
// it ran, a sealing run is not cancelled, and only what ended has an end.
func TestRunLaws(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		r := ci.Run{ID: 1, State: ci.RunQueued}
		var path []ci.RunState
		for i := range 12 {
			ev := runEvents[random.IntN(len(runEvents))]
			next, err := r.Apply(ev, now.Add(time.Duration(i)*time.Second), "because")
			if err != nil {
				wantKind(t, "Apply", err, fault.Conflict)
				if next.State != r.State {
					t.Fatalf("a refused %s changed %s to %s", ev, r.State, next.State)
				}
				continue
			}
			if r.State.Final() {
				t.Fatalf("%s left the final state %s", ev, r.State)
			}
			if r.State == ci.RunSealing && ev == ci.RunCancel {
				t.Fatal("a run was cancelled while it was sealed")
			}
			path = append(path, next.State)
			r = next
		}
		if r.State == ci.RunSucceeded && !slices.Equal(path, []ci.RunState{ci.RunRunning, ci.RunSealing, ci.RunSucceeded}) {
			t.Fatalf("a run succeeded by %v", path)
		}
		if r.State.Final() == r.Ended.IsZero() {
			t.Fatalf("a run that is %s ended at %v", r.State, r.Ended)
		}
	}
}

// Laws of a job: what has ended stays, nothing succeeds without an attempt, and the
// attempts count each start and restart.
func TestJobLaws(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 2))
	for range 2000 {
		j := ci.RunJob{ID: 1, State: ci.JobWaiting}
		starts := 0
		for range 12 {
			ev := jobEvents[random.IntN(len(jobEvents))]
			next, err := j.Apply(ev, now, "")
			if err != nil {
				wantKind(t, "Apply", err, fault.Conflict)
				continue
			}
			if j.State.Final() {
				t.Fatalf("%s left the final state %s", ev, j.State)
			}
			if ev == ci.JobStart || ev == ci.JobRestart {
				starts++
			}
			j = next
		}
		if j.Attempt != starts || (j.State == ci.JobSucceeded && starts == 0) || (j.State == ci.JobSkipped && starts > 0) {
			t.Fatalf("a job is %s after %d starts with attempt %d", j.State, starts, j.Attempt)
		}
	}
}

func TestFinal(t *testing.T) {
	t.Parallel()
	for _, s := range ci.RunStates() {
		want := s == ci.RunSucceeded || s == ci.RunFailed || s == ci.RunCancelled
		if s.Final() != want {
			t.Errorf("%s.Final() = %v, want %v", s, s.Final(), want)
		}
	}
	if ci.RunState("nonsense").Final() || ci.JobState("").Final() {
		t.Error("an unknown state is final")
	}
}
