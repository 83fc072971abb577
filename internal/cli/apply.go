package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

// apply sends a file to the server that keeps it: deliveries and trust.
type apply struct {
	remote
	path string // of the API
	file string
	dry  bool
}

func newApply(c *console) *cobra.Command {
	o := apply{remote: remote{console: c}, path: "/api/v1/deliveries"}
	cmd := o.command("apply -f FILE", "Keep a delivery file as a new version")
	cmd.Long = "Check a delivery file, show the difference from the version before, and keep it as a new version.\n" +
		"It never deploys: what runs stays until something asks."
	return cmd
}

func newTrustApply(c *console) *cobra.Command {
	o := apply{remote: remote{console: c}, path: "/api/v1/trust"}
	cmd := o.command("apply -f FILE", "Merge a trust file into the trust policy")
	cmd.Long = "Merge a trust file into the trust policy by the signers' names: a signer that the file names is put\n" +
		"in or replaced, one that it does not name stays."
	return cmd
}

func (o *apply) command(use, short string) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.file == "" {
				return fault.New(fault.Invalid, "no file named").WithField("--file").WithHint("%s", cmd.UseLine())
			}
			return o.run(cmd.Context())
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVarP(&o.file, "file", "f", "", "`FILE`; - for standard input")
	cmd.Flags().BoolVar(&o.dry, "dry-run", false, "check and show the difference, keep nothing")
	return cmd
}

func (o *apply) run(ctx context.Context) error {
	c := o.console
	name, src, err := c.read(o.file)
	if err != nil {
		return err
	}
	server, err := c.dial(o.connection)
	if err != nil {
		return err
	}
	q := url.Values{"file": {name}}
	if o.dry {
		q.Set("dry", "true")
	}
	var a api.Applied
	if err := server.Upload(ctx, http.MethodPut, withQuery(o.path, q), api.YAMLType, src, &a); err != nil {
		return err
	}
	return c.show(o.format, a, func() {
		c.diff(a.Diff)
		switch {
		case !a.Changed:
			c.print("%s: version %d, unchanged", a.Name, a.Version)
		case o.dry:
			c.print("%s: would become version %d", a.Name, a.Version+1)
		default:
			c.print("%s: version %d", a.Name, a.Version)
		}
	})
}

// diff prints a unified difference, in colours on a terminal.
func (c *console) diff(text string) {
	for line := range strings.Lines(text) {
		line = printable(strings.TrimSuffix(line, "\n"))
		colour := ""
		if c.Terminal && c.Getenv("NO_COLOR") == "" && line != "" {
			colour = map[byte]string{'+': "\x1b[32m", '-': "\x1b[31m", '@': "\x1b[36m"}[line[0]]
		}
		if colour != "" {
			line = colour + line + "\x1b[0m"
		}
		c.print("%s", line)
	}
}

// read returns the content of a file that a person named, and the name that stands for it
// in the positions of faults. A file over api.MaxBody is not read to its end.
func (c *console) read(file string) (name string, src []byte, err error) {
	name, from := "stdin", c.In
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the user names it
		if err != nil {
			return "", nil, unreadable(file, err)
		}
		defer f.Close() //nolint:errcheck // it was only read
		name, from = file, f
	}
	src, err = io.ReadAll(io.LimitReader(from, api.MaxBody+1))
	if err != nil {
		return "", nil, unreadable(name, err)
	}
	if len(src) > api.MaxBody {
		f := fault.New(fault.TooLarge, "the file has more than %d bytes", api.MaxBody).WithHint("split it, or check that it is the right one")
		f.File = name
		return "", nil, f
	}
	return name, src, nil
}

// unreadable is the fault of a file that cannot be read.
func unreadable(file string, err error) error {
	kind := fault.Invalid
	if errors.Is(err, fs.ErrNotExist) {
		kind = fault.NotFound
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	f := fault.Wrap(kind, err, "%v", err)
	f.File = file
	return f
}
