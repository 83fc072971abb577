package cli

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/web/api"
)

func newRun(c *console) *cobra.Command {
	return group(
		c, "run", "Look at CI runs, their logs, and cancel them",
		newRunList(c), newRunShow(c), newRunLogs(c), newRunCancel(c),
	)
}

func newRunList(c *console) *cobra.Command {
	l := &listing[api.Run]{
		remote: remote{console: c}, path: "/api/v1/runs", query: map[string]*string{},
		none: "there are no runs: git push starts one",
		head: []string{"ID", "REPOSITORY", "REF", "COMMIT", "WORKFLOW", "STATE", "TOOK", "AGE", "PUSHER", "REASON"},
		row: func(r api.Run) []string {
			return []string{
				fmt.Sprint(r.ID), r.Repository, shortRef(r.Ref), brief(r.Commit), r.Workflow, string(r.State),
				c.took(r.Started, r.Ended), c.age(r.Created), r.Pusher, r.Reason,
			}
		},
	}
	cmd := l.command("List runs, newest first")
	l.filter(cmd, "repository", "only runs of this repository, `NAME`")
	l.filter(cmd, "ref", "only runs of this `REF`, as refs/heads/main")
	l.filter(cmd, "state", "only runs in this `STATE`: queued, running, sealing, succeeded, failed, cancelled")
	return cmd
}

// shortRef is a ref as people write it.
func shortRef(ref string) string {
	return strings.TrimPrefix(strings.TrimPrefix(ref, "refs/heads/"), "refs/tags/")
}

// took is how long something lasted, or lasts so far.
func (c *console) took(from, to *time.Time) string {
	switch {
	case from == nil:
		return ""
	case to == nil:
		return short(c.Now().Sub(*from)) + "…"
	}
	return millis(to.Sub(*from).Milliseconds())
}

// millis is a measured time: "340ms", "2.5s", "3m12s".
func millis(n int64) string {
	d := time.Duration(n) * time.Millisecond
	switch {
	case d < time.Second:
		return d.String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func newRunShow(c *console) *cobra.Command {
	return showing[api.Run]{
		use: "show", short: "Show a run with its jobs, steps and artifacts", arg: "RUN", path: "/api/v1/runs/",
		text: c.run,
	}.command(c)
}

// run prints one run.
func (c *console) run(r api.Run) {
	c.pairs(
		pair{"run", fmt.Sprintf("%d (number %d of %s)", r.ID, r.Number, r.Repository)},
		pair{"commit", r.Commit + " on " + shortRef(r.Ref)},
		pair{"pusher", r.Pusher},
		pair{"workflow", r.Workflow + " (" + r.File + ")"},
		pair{"state", string(r.State)},
		pair{"reason", r.Reason},
		pair{"created", c.when(r.Created)},
		pair{"took", c.took(r.Started, r.Ended)},
		pair{"chain", r.Chain},
	)
	for _, j := range r.Jobs {
		c.print("")
		c.print("job %s: %s%s", printable(j.Key), j.State, because(j.Reason))
		if j.Isolation != "" {
			c.print("  isolation %s, limits %s", printable(j.Isolation), or(strings.Join(j.Limits, ", "), "none"))
		}
		var rows [][]string
		for _, s := range j.Steps {
			rows = append(rows, []string{"  " + fmt.Sprint(s.Number), s.Name, string(s.State), fmt.Sprint(s.Exit), millis(s.Millis), fmt.Sprint(s.Attempt), s.Reason})
		}
		if len(rows) > 0 {
			c.table([]string{"  #", "STEP", "STATE", "EXIT", "TOOK", "ATTEMPT", "REASON"}, rows)
		}
	}
	if len(r.Reports) > 0 {
		c.print("")
	}
	for _, rep := range r.Reports {
		c.print("report of %s: %s", printable(rep.Job), printable(reported(rep)))
	}
	for _, p := range r.Published {
		c.print("")
		c.print("published %s@%s%s", printable(p.Image), p.Digest, because(strings.Join(p.Tags, ", ")))
	}
}

// reported is what a report counts, in one line.
func reported(r api.Report) string {
	switch {
	case r.Tests != nil:
		return testsLine(*r.Tests)
	case r.Coverage != nil:
		return coverageLine(*r.Coverage)
	case r.Findings != nil:
		return findingsLine(*r.Findings)
	}
	return r.Kind
}

// because is ": why", or nothing.
func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + printable(why)
}

// or is s, or other where s is empty.
func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func newRunCancel(c *console) *cobra.Command {
	return showing[api.Run]{
		use: "cancel", short: "Stop a run that is queued or running", arg: "RUN",
		method: http.MethodPost, path: "/api/v1/runs/", suffix: "/cancel",
		text: func(r api.Run) { c.say("run %d of %s is %s", r.ID, r.Repository, r.State) },
	}.command(c)
}
