// Package demo tells the story of Drawbridge on one machine with real parts: a server, plain
// git, workflows in the sandbox, verified handoffs, environments, a canary, an undo, and a
// server that is killed in the middle. Nothing in it is canned: every line of the story is
// checked against the running server, and the first one that does not hold ends it.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Options say how the story is told.
type Options struct {
	Program   string    // the drawbridge binary
	Exit      bool      // end after the story instead of leaving the server running
	JSON      bool      // one JSON line per step instead of text
	Listen    string    // the server's address; "" picks a port
	SeedCache string    // a Go build cache to start from; "" means none
	Out       io.Writer // the story
	Log       io.Writer // what the server logs
	Now       func() time.Time
}

// Step is one step of the story, as --json prints it.
type Step struct {
	Step   string `json:"step"`
	OK     bool   `json:"ok"`
	Millis int64  `json:"ms"`
	Detail string `json:"detail"`
}

// limit bounds each step; the first build compiles Go's own library.
const limit = 4 * time.Minute

// Run tells the story in a directory of its own, which goes when it ends. It returns nil
// when every step held; with Exit false it then waits until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	dir, err := os.MkdirTemp("", "drawbridge-demo-")
	if err != nil {
		return err
	}
	s := &story{Options: o, dir: dir, traffic: newTraffic()}
	defer func() { err = errors.Join(err, s.end()) }()
	for _, step := range s.steps() {
		if err := s.tell(ctx, step); err != nil {
			return err
		}
	}
	if o.Exit {
		return nil
	}
	s.farewell()
	<-ctx.Done()
	return nil
}

// step is one step: its name in --json, what a person reads, and what happens.
type step struct {
	name string
	text string
	do   func(ctx context.Context) (detail string, err error)
}

func (s *story) steps() []step {
	return []step{
		{"server", "a server starts; alice, bob and ops get their tokens", s.start},
		{"push", "alice pushes the sample with plain git", s.push},
		{"ci", "CI builds, tests and publishes one image; the service signs the evidence", s.build},
		{"handoff", "the bridge verifies the evidence and writes a release", s.handoff},
		{"dev", "CD promotes it to dev, which answers", s.dev},
		{"production", "staging follows; production waits for somebody other than alice", s.production},
		{"failing-test", "a push with a failing test stops in CI", s.failingTest},
		{"undo", "a release that fails in production only is undone by its own figures", s.undo},
		{"refused", "an unsigned image and a stranger's image do not cross", s.refused},
		{"audit", "both audit logs prove themselves; status and why explain", s.audit},
		{"crash", "the server is killed in the middle of a canary and goes on", s.crash},
	}
}

// tell does one step and prints how it went.
func (s *story) tell(ctx context.Context, st step) error {
	if !s.JSON {
		_, _ = fmt.Fprintf(s.Out, "\n● %s\n", st.text) // a closed pipe shows when the step is printed
	}
	bound, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := s.Now()
	detail, err := st.do(bound)
	out := Step{Step: st.name, OK: err == nil, Millis: s.Now().Sub(began).Milliseconds(), Detail: detail}
	if err != nil {
		out.Detail = err.Error()
		err = fmt.Errorf("demo: %s: %w", st.name, err)
	}
	return errors.Join(err, s.print(out))
}

func (s *story) print(st Step) error {
	if s.JSON {
		return json.NewEncoder(s.Out).Encode(st)
	}
	mark := "✓"
	if !st.OK {
		mark = "✗"
	}
	for line := range strings.Lines(strings.TrimSpace(st.Detail)) {
		if _, err := fmt.Fprintf(s.Out, "  %s\n", strings.TrimRight(line, "\n")); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(s.Out, "  %s %.1f s\n", mark, float64(st.Millis)/1000)
	return err
}

// farewell says what a person can do with the server that goes on.
func (s *story) farewell() {
	_, _ = fmt.Fprintf(s.Out, `
The story is told; the server goes on. Ctrl-C stops it.

  page        %s/   (log in with the token in %s)
  production  http://%s/
  try         export DRAWBRIDGE_SERVER=%s DRAWBRIDGE_TOKEN=$(cat %s)
              %s status
`, s.url, s.tokenFile("ops"), s.traffic.address(), s.url, s.tokenFile("ops"), s.Program) // a closed pipe ends the story elsewhere
}

func (s *story) tokenFile(name string) string { return filepath.Join(s.dir, name+".token") }
