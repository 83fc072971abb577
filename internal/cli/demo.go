package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"drawbridge/internal/demo"
)

const demoLong = `Tell the whole story on this machine, with real parts: a push, a run in the sandbox, a
verified handoff, three environments, an approval, a canary, an undo, a crash. It needs
git and Go, no network, no Docker and no forge.

With --exit it ends after the story, with 0 when every step held; without, the server
goes on until Ctrl-C. It works in a temporary directory, which goes when it ends.`

func newDemo(c *console) *cobra.Command {
	o := demo.Options{}
	verbose := false
	cmd := &cobra.Command{
		Use: "demo", Short: "Tell the whole story on this machine", Long: demoLong, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out, o.Log, o.Now = c.Out, io.Discard, c.Now
			if verbose {
				o.Log = c.Err
			}
			return c.demo(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Exit, "exit", false, "end after the story instead of leaving the server running")
	f.BoolVar(&o.JSON, "json", false, "one JSON line per step: step, ok, ms, detail")
	f.BoolVarP(&verbose, "verbose", "v", false, "show what the server logs, on stderr")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:0", "`ADDR` of the server; port 0 picks one")
	f.StringVar(&o.SeedCache, "seed-cache", "", "`DIR` with a Go build cache to start from (default: drawbridge/go-build in the user's cache, if it is there)")
	return cmd
}

func (c *console) demo(ctx context.Context, o demo.Options) error {
	var err error
	if o.Program, err = os.Executable(); err != nil {
		return err
	}
	if o.SeedCache == "" {
		o.SeedCache = seedCache()
	}
	err = demo.Run(ctx, o)
	if errors.Is(err, context.Canceled) {
		return nil // Ctrl-C is how a demo ends
	}
	return err
}

// seedCache is where `make demo` keeps what Go has compiled for the sample.
func seedCache() string {
	base, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir := filepath.Join(base, "drawbridge", "go-build")
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}
