// Package cli is the command line: one file per command, each of which turns flags into
// one or two requests to a server and prints the answer.
//
// What a command is asked for goes to standard output, everything said beside it to standard
// error. An error is one line, "drawbridge: MESSAGE" with the file's position or the
// field in front, and a line "hint: …" where there is a next step to take; the kind of the
// fault is the exit code. No command keeps state but audit verify, which remembers the
// last checkpoint that it saw.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"drawbridge/internal/fault"
)

// exitInterrupted is the exit code of a command that a signal ended.
const exitInterrupted = 130

// IO is everything of the process that a command touches.
type IO struct {
	In       io.Reader
	Out      io.Writer           // data
	Err      io.Writer           // talk
	Getenv   func(string) string // environment variables
	Now      func() time.Time    // clock for ages; nil means time.Now
	Terminal bool                // a person reads Out
	Version  string              // of the program; "" means what the build information says
}

// Run runs one command line, without the program's name, and returns the exit code. When
// ctx ends, a server stops cleanly (0) and every other command breaks off (130).
func Run(ctx context.Context, args []string, streams IO) int {
	c := &console{IO: streams, out: &output{w: streams.Out}}
	if c.Now == nil {
		c.Now = time.Now
	}
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(c.In)
	root.SetOut(c.out)
	root.SetErr(c.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = c.out.err
	}
	return c.finish(ctx, err)
}

// finish says what went wrong and returns the exit code for it.
func (c *console) finish(ctx context.Context, err error) int {
	switch {
	case err == nil, errors.Is(err, syscall.EPIPE): // the reader has seen enough
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		c.say("drawbridge: interrupted")
		return exitInterrupted
	}
	for _, e := range flatten(err) {
		c.complain(e)
	}
	return fault.KindOf(err).ExitCode()
}

// complain writes one error, as a line and a hint.
func (c *console) complain(err error) {
	f := fault.As(err)
	if f == nil {
		c.say("drawbridge: %s", strings.ReplaceAll(err.Error(), "\n", "; "))
		return
	}
	c.say("drawbridge: %s", printable(f.Error()))
	if f.Hint != "" {
		c.say("hint: %s", printable(f.Hint))
	}
}

// flatten is the errors that err joins.
func flatten(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// console is what commands are made of: the process, and ways to speak to the person.
type console struct {
	IO
	out *output
}

// say writes one line of talk.
func (c *console) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Err, format+"\n", args...)
}

// print writes one line of data.
func (c *console) print(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format+"\n", args...)
}

// output keeps the first error of writing, so that commands need not look at each.
type output struct {
	w   io.Writer
	err error
}

// Write writes until the first error, and then nothing.
func (o *output) Write(b []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(b)
	if err != nil {
		o.err = fmt.Errorf("write the output: %w", err)
	}
	return n, err
}

// printable replaces control characters, with which text from elsewhere could command
// the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '�'
		}
		return r
	}, s)
}
