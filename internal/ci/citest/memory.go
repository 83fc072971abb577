package citest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"drawbridge/internal/audit"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// Memory is a ci.Store in memory that also keeps the tasks and the audit entries. It is
// safe for concurrent use.
type Memory struct {
	mu    sync.Mutex
	state rows
	// After, when set, is called after each Save; its error is returned although the change
	// is saved, as when the server dies.
	After func(c ci.Change) error
}

// rows are copied for a change, and replaced by the copy when it is whole.
type rows struct {
	repositories []ci.Repository
	refs         map[string]map[string]string
	runs         []ci.Run
	jobs         []ci.RunJob
	steps        []ci.Step
	published    []ci.Publication
	reports      []ci.Report
	bundles      []ci.Bundle
	events       []ci.Event
	tasks        []ci.Task
	entries      []audit.Entry
}

func (s *rows) clone() rows {
	refs := make(map[string]map[string]string, len(s.refs))
	for k, v := range s.refs {
		refs[k] = maps.Clone(v)
	}
	return rows{
		slices.Clone(s.repositories), refs, slices.Clone(s.runs), slices.Clone(s.jobs), slices.Clone(s.steps), slices.Clone(s.published),
		slices.Clone(s.reports), slices.Clone(s.bundles), slices.Clone(s.events), slices.Clone(s.tasks), slices.Clone(s.entries),
	}
}

// TakeTask removes the oldest task.
func (m *Memory) TakeTask() (ci.Task, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.state.tasks) == 0 {
		return ci.Task{}, false
	}
	t := m.state.tasks[0]
	m.state.tasks = m.state.tasks[1:]
	return t, true
}

// PutTask brings a task back.
func (m *Memory) PutTask(t ci.Task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.tasks = append(m.state.tasks, t)
}

// Entries returns the audit entries, in order.
func (m *Memory) Entries() []audit.Entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.state.entries)
}

func find[T any](list []T, is func(T) bool, format string, args ...any) (T, error) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], nil
	}
	var zero T
	return zero, fault.New(fault.NotFound, "there is no "+format, args...)
}

func filter[T any](list []T, is func(T) bool) []T {
	var out []T
	for _, v := range list {
		if is(v) {
			out = append(out, v)
		}
	}
	return out
}

func limited(n int) int {
	if n <= 0 {
		return 50
	}
	return min(n, 500)
}

// Repository implements ci.Store.
func (m *Memory) Repository(_ context.Context, name string) (ci.Repository, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return find(m.state.repositories, func(r ci.Repository) bool { return r.Name == name }, "repository %q", name)
}

// CreateRepository implements ci.Store.
func (m *Memory) CreateRepository(_ context.Context, r ci.Repository, by audit.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.state.repositories, func(o ci.Repository) bool { return o.Name == r.Name }) {
		return fault.New(fault.Conflict, "there is a repository %s already", r.Name)
	}
	m.state.repositories = append(m.state.repositories, r)
	m.state.entries = append(m.state.entries, by)
	return nil
}

// ListRepositories implements ci.Store.
func (m *Memory) ListRepositories(_ context.Context, after string, limit int) ([]ci.Repository, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := filter(m.state.repositories, func(r ci.Repository) bool { return r.Name > after })
	slices.SortFunc(list, func(a, b ci.Repository) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list[:min(len(list), limited(limit))], nil
}

// Refs implements ci.Store.
func (m *Memory) Refs(_ context.Context, repository string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	refs := maps.Clone(m.state.refs[repository])
	if refs == nil {
		refs = map[string]string{}
	}
	return refs, nil
}

// Run implements ci.Store.
func (m *Memory) Run(_ context.Context, id int64) (ci.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := find(m.state.runs, func(r ci.Run) bool { return r.ID == id }, "run %d", id)
	return m.attempts(r), err
}

// attempts sets the highest attempt of r's jobs; the caller holds mu.
func (m *Memory) attempts(r ci.Run) ci.Run {
	r.Attempt = 1
	for _, j := range m.state.jobs {
		if j.Run == r.ID {
			r.Attempt = max(r.Attempt, j.Attempt)
		}
	}
	return r
}

// Jobs implements ci.Store.
func (m *Memory) Jobs(_ context.Context, run int64) ([]ci.RunJob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return filter(m.state.jobs, func(j ci.RunJob) bool { return j.Run == run }), nil
}

// ListRuns implements ci.Store.
func (m *Memory) ListRuns(_ context.Context, f ci.RunFilter) ([]ci.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := filter(m.state.runs, func(r ci.Run) bool {
		return (f.Repository == "" || r.Repository == f.Repository) && (f.Ref == "" || r.Ref == f.Ref) &&
			(len(f.States) == 0 || slices.Contains(f.States, r.State)) && (f.Before == 0 || r.ID < f.Before)
	})
	slices.Reverse(list)
	for i := range list {
		list[i] = m.attempts(list[i])
		list[i].Source = nil
	}
	return list[:min(len(list), limited(f.Limit))], nil
}

// Job implements ci.Store.
func (m *Memory) Job(_ context.Context, id int64) (ci.RunJob, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return find(m.state.jobs, func(j ci.RunJob) bool { return j.ID == id }, "job %d", id)
}

// Steps implements ci.Store.
func (m *Memory) Steps(_ context.Context, job int64) ([]ci.Step, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return filter(m.state.steps, func(s ci.Step) bool { return s.Job == job }), nil
}

// Published implements ci.Store.
func (m *Memory) Published(_ context.Context, run int64) ([]ci.Publication, []ci.Report, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return filter(m.state.published, func(p ci.Publication) bool { return p.Run == run }),
		filter(m.state.reports, func(r ci.Report) bool { return r.Run == run }), nil
}

// Bundles implements ci.Store.
func (m *Memory) Bundles(_ context.Context, run int64) ([]ci.Bundle, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return filter(m.state.bundles, func(b ci.Bundle) bool { return b.Run == run }), nil
}

// Event implements ci.Store.
func (m *Memory) Event(_ context.Context, id int64) (ci.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return find(m.state.events, func(e ci.Event) bool { return e.ID == id }, "event %d", id)
}

// Unposted implements ci.Store.
func (m *Memory) Unposted(_ context.Context, after int64, limit int) ([]ci.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := filter(m.state.events, func(e ci.Event) bool { return e.ID > after && e.Posted.IsZero() })
	return list[:min(len(list), limited(limit))], nil
}

// InsertRuns implements ci.Store.
func (m *Memory) InsertRuns(_ context.Context, repository string, c ci.RefChange, runs []ci.NewRun, tell ci.Event) ([]ci.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state.clone()
	if s.refs[repository] == nil {
		s.refs[repository] = map[string]string{}
	}
	s.refs[repository][c.Ref] = c.New
	if c.New == ci.NoCommit {
		delete(s.refs[repository], c.Ref)
	}
	s.tell(tell)
	var added []ci.Run
	for _, n := range runs {
		if run, ok := s.insert(n); ok {
			added = append(added, run)
		}
	}
	m.state = s
	return added, nil
}

func (s *rows) insert(n ci.NewRun) (ci.Run, bool) {
	r := n.Run
	r.Number = 1
	for _, o := range s.runs {
		if o.Repository == r.Repository && o.Ref == r.Ref && o.Old == r.Old && o.Commit == r.Commit && o.File == r.File {
			return r, false
		}
		if o.Repository == r.Repository {
			r.Number++
		}
	}
	r.ID, r.Version, r.Attempt = int64(len(s.runs)+1), 1, 1
	s.runs = append(s.runs, r)
	for _, j := range n.Jobs {
		j.ID, j.Run, j.Version = int64(len(s.jobs)+1), r.ID, 1
		s.jobs = append(s.jobs, j)
	}
	for _, e := range n.Record {
		if e.Subject == "" {
			e.Subject = fmt.Sprintf("run/%d", r.ID)
		}
		s.entries = append(s.entries, e)
	}
	for _, t := range n.Next {
		if t.ID == 0 {
			t.ID = r.ID
		}
		s.tasks = append(s.tasks, t)
	}
	return r, true
}

// Save implements ci.Store.
func (m *Memory) Save(_ context.Context, c ci.Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.state.clone()
	if err := s.save(c); err != nil {
		return err
	}
	m.state = s
	if m.After != nil {
		return m.After(c)
	}
	return nil
}

func (s *rows) save(c ci.Change) error {
	if c.Run != nil {
		i := slices.IndexFunc(s.runs, func(r ci.Run) bool { return r.ID == c.Run.ID && r.Version == c.Run.Version })
		if i < 0 {
			return fault.New(fault.Conflict, "run %d has changed meanwhile", c.Run.ID)
		}
		s.runs[i] = *c.Run
		s.runs[i].Version++
	}
	for _, j := range c.Jobs {
		i := slices.IndexFunc(s.jobs, func(o ci.RunJob) bool { return o.ID == j.ID && o.Version == j.Version })
		if i < 0 {
			return fault.New(fault.Conflict, "job %d has changed meanwhile", j.ID)
		}
		j.Version++
		s.jobs[i] = j
	}
	for _, b := range c.Bundles {
		if slices.ContainsFunc(s.bundles, func(o ci.Bundle) bool { return o.Run == b.Run && o.Number == b.Number }) {
			return fault.New(fault.Conflict, "the evidence of run %d has changed meanwhile", b.Run)
		}
		s.bundles = append(s.bundles, b)
	}
	s.steps = append(s.steps, c.Steps...)
	s.published = append(s.published, c.Publications...)
	s.reports = append(s.reports, c.Reports...)
	s.entries = append(s.entries, c.Record...)
	s.tasks = append(s.tasks, c.Next...)
	for _, e := range c.Events {
		s.tell(e)
	}
	if c.Posted != nil {
		i := slices.IndexFunc(s.events, func(e ci.Event) bool { return e.ID == c.Posted.ID && e.Posted.IsZero() })
		if i < 0 {
			return fault.New(fault.Conflict, "event %d has changed meanwhile", c.Posted.ID)
		}
		s.events[i].Posted = c.Posted.Posted
	}
	return nil
}

// tell puts e into the outbox, once per source and key.
func (s *rows) tell(e ci.Event) {
	if slices.ContainsFunc(s.events, func(o ci.Event) bool { return o.Source == e.Source && o.Key == e.Key }) {
		return
	}
	e.ID = int64(len(s.events) + 1)
	s.events = append(s.events, e)
	s.tasks = append(s.tasks, ci.Task{Name: ci.TaskPost, ID: e.ID})
}
