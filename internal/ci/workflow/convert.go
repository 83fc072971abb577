package workflow

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/rhysd/actionlint"
)

// convert builds the workflow from its syntax tree. It notes what is refused and goes on.
func (r *reader) convert(ast *actionlint.Workflow) *Workflow {
	w := &Workflow{Env: r.env(ast.Env)}
	if ast.Name != nil {
		w.Name = ast.Name.Value
	}
	for _, e := range ast.On {
		if push, ok := e.(*actionlint.WebhookEvent); ok && push.Hook != nil && push.Hook.Value == "push" {
			w.Push = r.push(push)
		}
	}
	jobs := slices.SortedFunc(maps.Values(ast.Jobs), func(a, b *actionlint.Job) int {
		return cmp.Or(cmp.Compare(a.ID.Pos.Line, b.ID.Pos.Line), cmp.Compare(a.ID.Pos.Col, b.ID.Pos.Col))
	})
	if len(jobs) > MaxJobs {
		at := jobs[MaxJobs].ID.Pos
		r.refuse(at.Line, at.Col, "split the workflow into several files", "a workflow has at most %d jobs", MaxJobs)
		return w
	}
	for _, j := range jobs {
		w.Jobs = append(w.Jobs, r.jobOf(ast, j))
	}
	return w
}

func (r *reader) push(e *actionlint.WebhookEvent) Push {
	return Push{branches: r.filter(e.Branches, e.BranchesIgnore), tags: r.filter(e.Tags, e.TagsIgnore)}
}

// filter reads a filter or its opposite; actionlint refuses both together.
func (r *reader) filter(take, ignore *actionlint.WebhookEventFilter) filter {
	f := cmp.Or(take, ignore)
	if f == nil {
		return filter{}
	}
	out := filter{given: true, ignore: f == ignore}
	for _, v := range f.Values {
		body, negative := strings.CutPrefix(v.Value, "!")
		re, err := glob(body)
		if err != nil {
			r.refuse(v.Pos.Line, v.Pos.Col, "", "the pattern %s %v", quote(v.Value), err)
			continue
		}
		out.rules = append(out.rules, rule{negative, re})
	}
	onlyNegative := len(out.rules) > 0 && !slices.ContainsFunc(out.rules, func(r rule) bool { return !r.negative })
	if onlyNegative {
		at := f.Values[0].Pos
		r.refuse(at.Line, at.Col, "put a pattern without ! before it, '**' for example", "patterns with ! alone match nothing")
	}
	return out
}

func (r *reader) jobOf(ast *actionlint.Workflow, j *actionlint.Job) Job {
	out := Job{
		ID: j.ID.Value, Line: j.ID.Pos.Line, Name: r.text(j.Name), If: r.cond(j.If), Env: r.env(j.Env),
		Needs: r.needs(ast, j), Timeout: cmp.Or(r.timeout(j.TimeoutMinutes), DefaultTimeout),
	}
	r.labels(j)
	ids := outputsByStep(j)
	r.stepOutputs = ids
	for _, name := range sortedKeys(j.Outputs) {
		if o := j.Outputs[name]; o.Name != nil && o.Value != nil {
			out.Outputs = put(out.Outputs, o.Name.Value, r.text(o.Value))
		}
	}
	if len(j.Steps) > MaxSteps {
		at := j.Steps[MaxSteps].Pos
		r.refuse(at.Line, at.Col, "split the job", "a job has at most %d steps", MaxSteps)
		return out
	}
	for _, s := range j.Steps {
		out.Steps = append(out.Steps, r.step(s))
	}
	r.stepOutputs = nil
	return out
}

// needs maps the names to the ids of jobs as they are written; actionlint reports missing ones.
func (r *reader) needs(ast *actionlint.Workflow, j *actionlint.Job) []string {
	var ids []string
	for _, n := range j.Needs {
		if before, ok := ast.Jobs[strings.ToLower(n.Value)]; ok {
			ids = append(ids, before.ID.Value)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (r *reader) step(s *actionlint.Step) Step {
	out := Step{
		Line: s.Pos.Line, Name: r.text(s.Name), If: r.cond(s.If), Env: r.env(s.Env), Timeout: r.timeout(s.TimeoutMinutes),
	}
	if s.ID != nil {
		out.ID = s.ID.Value
	}
	if c := s.ContinueOnError; c != nil {
		out.ContinueOnError = c.Value
		if c.Expression != nil {
			r.refuse(c.Pos.Line, c.Pos.Col, "write true or false", "an expression is refused in continue-on-error")
		}
	}
	switch e := s.Exec.(type) {
	case *actionlint.ExecRun:
		r.script(&out, e)
	case *actionlint.ExecAction:
		r.action(&out, e)
	}
	return out
}

func (r *reader) script(s *Step, e *actionlint.ExecRun) {
	s.Run, s.Dir = r.text(e.Run), r.text(e.WorkingDirectory)
	if d := e.WorkingDirectory; d != nil && s.Dir.Literal() {
		if err := checkPath(d.Value); err != nil {
			r.refuse(d.Pos.Line, d.Pos.Col, "", "working-directory: %v", err)
		}
	}
	if e.Shell == nil {
		return
	}
	switch shell := Shell(e.Shell.Value); shell {
	case ShellBash, ShellSh:
		s.Shell = shell
	case ShellDefault:
	default:
		at := e.Shell.Pos
		r.refuse(at.Line, at.Col, "write bash or sh, and call the interpreter in the script", "the shell %s is refused", quote(e.Shell.Value))
	}
}

func (r *reader) env(e *actionlint.Env) map[string]Text {
	if e == nil {
		return nil
	}
	if x := e.Expression; x != nil {
		r.refuse(x.Pos.Line, x.Pos.Col, "write each variable out", "an expression in place of env is refused")
		return nil
	}
	var out map[string]Text
	for _, key := range sortedKeys(e.Vars) {
		v := e.Vars[key]
		if v.Name == nil || v.Value == nil {
			continue
		}
		name, at := v.Name.Value, v.Name.Pos
		switch {
		case ReservedEnv(name):
			r.refuse(at.Line, at.Col, "choose a name that does not start with GITHUB_ or RUNNER_", "the variable %s is set by the server", quote(name))
		case strings.ContainsAny(name, "=\x00"):
			r.refuse(at.Line, at.Col, "use letters, digits and underscores", "%s is no name of an environment variable", quote(name))
		}
		out = put(out, name, r.text(v.Value))
	}
	return out
}

// timeout is 0 when the file gives none.
func (r *reader) timeout(f *actionlint.Float) time.Duration {
	if f == nil {
		return 0
	}
	if f.Expression != nil {
		r.refuse(f.Pos.Line, f.Pos.Col, "write a number of minutes", "an expression is refused in timeout-minutes")
		return 0
	}
	if math.IsNaN(f.Value) || f.Value <= 0 || f.Value > MaxTimeout.Minutes() {
		r.refuse(f.Pos.Line, f.Pos.Col, "", "timeout-minutes must be above 0 and at most %g", MaxTimeout.Minutes())
		return 0
	}
	return max(time.Duration(f.Value*float64(time.Minute)), time.Millisecond)
}

func put(m map[string]Text, name string, t Text) map[string]Text {
	if m == nil {
		m = map[string]Text{}
	}
	m[name] = t
	return m
}
