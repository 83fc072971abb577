package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build says what this program was made from.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"` // empty when it was not built in its repository
	Modified bool   `json:"modified"`         // the files differed from that commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(c *console) *cobra.Command {
	var format format
	cmd := &cobra.Command{
		Use: "version", Short: "Say what this program is", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			b := c.build()
			return c.show(format, b, func() {
				commit := b.Commit
				if commit == "" {
					commit = "unknown"
				}
				if b.Modified {
					commit += ", modified"
				}
				c.print("drawbridge %s (commit %s, %s, %s)", b.Version, commit, b.Go, b.Platform)
			})
		},
	}
	format.flag(cmd)
	return cmd
}

func (c *console) build() build {
	b := build{Version: c.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "development"
	}
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}
