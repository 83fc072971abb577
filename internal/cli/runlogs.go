package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

type runLogs struct {
	console *console
	connection
	job    string
	follow bool
}

func newRunLogs(c *console) *cobra.Command {
	o := runLogs{console: c}
	cmd := &cobra.Command{
		Use: "logs RUN", Short: "Print what a run's jobs have written", Args: exactly("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.job, "job", "", "`KEY` of one job (default: all, in their order)")
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the jobs have ended, then say how the run stands")
	return cmd
}

func (o *runLogs) run(ctx context.Context, run string) error {
	server, err := o.console.dial(o.connection)
	if err != nil {
		return err
	}
	q := url.Values{}
	if o.job != "" {
		q.Set("job", o.job)
	}
	if o.follow {
		q.Set("follow", "true")
	}
	path := "/api/v1/runs/" + url.PathEscape(run)
	log, err := server.Open(ctx, withQuery(path+"/log", q))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // read to its end
	if err := o.console.copyLog(ctx, log); err != nil || !o.follow {
		return err
	}
	r, err := ended(ctx, server, path)
	if err != nil {
		return err
	}
	o.console.say("run %d of %s: %s%s", r.ID, r.Repository, r.State, because(r.Reason))
	return nil
}

// ended waits for a run whose jobs have ended: it may still be sealed.
func ended(ctx context.Context, server *client.Client, path string) (api.Run, error) {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	for {
		var r api.Run
		if err := server.Get(ctx, path, &r); err != nil || r.Ended != nil {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-tick.C:
		}
	}
}

// sealEvery is the time between two looks at a run that is being sealed.
const sealEvery = 100 * time.Millisecond

// copyLog copies a log as it comes. What a job writes must not command the terminal of
// the person who reads it: there, only colours go through.
func (c *console) copyLog(ctx context.Context, log io.Reader) error {
	to := io.Writer(c.out)
	if c.Terminal {
		to = &tame{w: c.out}
	}
	_, err := io.Copy(to, log)
	switch {
	case err == nil:
		return nil
	case c.out.err != nil:
		return c.out.err
	case ctx.Err() != nil:
		return fmt.Errorf("read the log: %w", ctx.Err())
	}
	return fault.Wrap(fault.Unavailable, err, "the log broke off: %v", err).WithHint("read it again: drawbridge run logs")
}

// tame drops control characters and escape sequences, except line breaks, tabs and
// sequences that set colours.
type tame struct {
	w      io.Writer
	escape []byte // a sequence that has begun
}

// maxEscape is the longest sequence that is waited for, in bytes.
const maxEscape = 32

// Write writes what is harmless of b.
func (t *tame) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if len(t.escape) > 0 {
			out = t.sequence(out, c)
			continue
		}
		switch {
		case c == 0x1b:
			t.escape = append(t.escape, c)
		case c >= ' ' && c != 0x7f, c == '\n', c == '\t':
			out = append(out, c)
		}
	}
	_, err := t.w.Write(out)
	return len(b), err
}

// sequence takes one more byte of an escape sequence and appends the sequence once it
// turns out to set colours: ESC [ digits m.
func (t *tame) sequence(out []byte, c byte) []byte {
	t.escape = append(t.escape, c)
	switch {
	case len(t.escape) == 2 && c == '[':
		return out
	case len(t.escape) > 2 && (c >= '0' && c <= '9' || c == ';') && len(t.escape) < maxEscape:
		return out
	case len(t.escape) > 2 && c == 'm':
		out = append(out, t.escape...)
	case c == '\n':
		out = append(out, c)
	}
	t.escape = t.escape[:0]
	if c == 0x1b {
		t.escape = append(t.escape, c)
	}
	return out
}
