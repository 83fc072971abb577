package ci

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// CreateRepository adds a repository that protects DefaultProtected. by is the
// authenticated identity that asks for it. Invalid for a malformed name, Conflict for one
// that is taken.
func (s *Service) CreateRepository(ctx context.Context, name, by string) (Repository, error) {
	if err := ValidRepository(name); err != nil {
		return Repository{}, err
	}
	r := Repository{Name: name, Protected: DefaultProtected(), Created: millis(s.Now())}
	entry := audit.Entry{At: r.Created, Actor: by, Action: "repository.create", Subject: "repository/" + name}
	if err := s.Store.CreateRepository(ctx, r, entry); err != nil {
		return Repository{}, err
	}
	return r, nil
}

// Sync records what a push has moved and inserts the runs that it starts: one for each
// workflow file whose filter matches. A workflow file that cannot be used gives a failed
// run that says why. Sync may be repeated: a push is recorded once. When it returns nil
// everything is durable.
func (s *Service) Sync(ctx context.Context, repository string, refs []RefChange) error {
	if _, err := s.Store.Repository(ctx, repository); err != nil {
		return err
	}
	var errs []error // one ref that cannot be recorded does not keep back the others
	for _, c := range refs {
		if err := s.sync(ctx, repository, c); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Service) sync(ctx context.Context, repository string, c RefChange) error {
	if err := c.Validate(); err != nil {
		return err
	}
	runs, err := s.runsOf(ctx, repository, c)
	if err != nil {
		return fmt.Errorf("find the workflows of %s at %s: %w", repository, c.New, err)
	}
	ev, err := s.moved(repository, c)
	if err != nil {
		return err
	}
	if _, err := s.Store.InsertRuns(ctx, repository, c, runs, ev); err != nil {
		return fmt.Errorf("insert the runs of a push to %s: %w", repository, err)
	}
	return nil
}

// moved is the event that tells the bridge of a push: once for each move of a ref.
func (s *Service) moved(repository string, c RefChange) (Event, error) {
	key := fmt.Sprintf("%s %s %s..%s", repository, c.Ref, c.Old, c.New)
	body, err := bridge.Moved{
		Source: sourceGit, ID: key, Repository: repository, Ref: c.Ref, Old: c.Old, New: c.New, Pusher: c.Pusher, At: millis(c.At),
	}.CloudEvent()
	if err != nil {
		return Event{}, fmt.Errorf("write the event of a push to %s: %w", repository, err)
	}
	return Event{Source: sourceGit, Key: key, Body: body, Created: millis(s.Now())}, nil
}

// sourceGit names the embedded Git host in events.
const sourceGit = "/git"

// runsOf plans the runs that a push starts.
func (s *Service) runsOf(ctx context.Context, repository string, c RefChange) ([]NewRun, error) {
	if c.New == NoCommit {
		return nil, nil
	}
	files, err := s.Source.Workflows(ctx, repository, c.New)
	if err != nil {
		return nil, err
	}
	chain, err := s.newChain()
	if err != nil {
		return nil, err
	}
	var runs []NewRun
	for _, file := range files {
		run := Run{
			Repository: repository, Ref: c.Ref, Old: c.Old, Commit: c.New, Pusher: c.Pusher, Chain: chain,
			File: file, Name: file, State: RunQueued, Attempt: 1, Pushed: millis(c.At), Created: millis(s.Now()),
		}
		n, matches, err := s.newRun(ctx, run)
		if err != nil {
			return nil, err
		}
		if matches {
			runs = append(runs, n)
		}
	}
	return runs, nil
}

// newRun reads the workflow file of run and reports whether the push starts it.
func (s *Service) newRun(ctx context.Context, run Run) (NewRun, bool, error) {
	entry := audit.Entry{At: run.Created, Actor: run.Pusher, Action: "run.queue", Chain: run.Chain, Detail: map[string]string{
		"repository": run.Repository, "ref": run.Ref, "commit": run.Commit, "file": run.File,
	}}
	src, err := s.Source.File(ctx, run.Repository, run.Commit, run.File)
	if err == nil {
		run.Source = src
		var w *workflow.Workflow
		if w, err = workflow.Parse(run.File, src); err == nil {
			if !w.Push.Matches(run.Ref) {
				return NewRun{}, false, nil
			}
			run.Name = clip(w.Name)
			return NewRun{Run: run, Jobs: jobsOf(w), Record: []audit.Entry{entry}, Next: []Task{{Name: TaskRun}}}, true, nil
		}
	}
	f := fault.As(err)
	if f == nil || f.Kind == fault.Unavailable {
		return NewRun{}, false, err
	}
	if len(run.Source) > workflow.MaxSource {
		run.Source = nil
	}
	failed, err := run.Apply(RunFail, s.Now(), clip(reasonOf(f)))
	if err != nil {
		return NewRun{}, false, err
	}
	end := audit.Entry{At: failed.Ended, Actor: actorService, Action: "run.fail", Chain: run.Chain, Detail: map[string]string{"reason": clip(failed.Reason)}}
	return NewRun{Run: failed, Record: []audit.Entry{entry, end}}, true, nil
}

func jobsOf(w *workflow.Workflow) []RunJob {
	jobs := make([]RunJob, len(w.Jobs))
	for i, j := range w.Jobs {
		name := j.ID
		if j.Name.Literal() && !j.Name.IsZero() {
			name = clip(j.Name.Source())
		}
		jobs[i] = RunJob{Key: j.ID, Name: name, State: JobWaiting}
	}
	return jobs
}

// newChain is a fresh chain id: 128 random bits as hex.
func (s *Service) newChain() (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(s.Random, b[:]); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}

// reasonOf is a fault as a reason: its place, what is wrong, and the next step.
func reasonOf(f *fault.Error) string {
	if f.Hint == "" {
		return f.Error()
	}
	return f.Error() + "; " + f.Hint
}

// clip makes text of a job or a file fit a row that is kept for ever: bounded, UTF-8,
// without NUL.
func clip(text string) string {
	const limit = 1000
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
	if len(text) <= limit {
		return text
	}
	cut := limit
	for cut > 0 && text[cut]&0xC0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}
