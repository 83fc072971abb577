package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

const startRounds = 9

// start measures how long a server takes until it answers: on its first start, when it
// makes its databases, keys and tokens, and when all of that is there.
func (b *bench) start(ctx context.Context) error {
	b.say("server start")
	var first, again, git, empty series
	for i := range startRounds {
		began := b.now()
		if err := exec.CommandContext(ctx, "git", "--version").Run(); err != nil {
			return err
		}
		git.add(b.since(began))
		for _, m := range []struct {
			into *series
			run  func() (*process, error)
		}{
			{&empty, func() (*process, error) { return b.launch(ctx, []string{"PORT=0"}, b.service) }},
			{&first, func() (*process, error) { return b.serve(ctx, b.startDir(i)) }},
			{&again, func() (*process, error) { return b.serve(ctx, b.startDir(i)) }},
		} {
			p, err := m.run()
			if err != nil {
				return err
			}
			m.into.add(p.took)
			if err := p.stop(); err != nil {
				return errors.Join(errors.New("it does not stop in order"), err)
			}
		}
	}
	const group, plain = "Server start to ready", "empty Go HTTP server"
	b.rows = append(b.rows,
		row{group: group, what: "first start", got: first, plain: plain, baseline: empty},
		row{group: group, what: "start", got: again, plain: plain, baseline: empty},
		row{group: group, what: "start", got: again, plain: "`git --version`", baseline: git},
	)
	return nil
}

func (b *bench) startDir(i int) string { return filepath.Join(b.dir, fmt.Sprint("start-", i)) }
