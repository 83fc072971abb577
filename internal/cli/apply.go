package cli

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// apply sends the documents of a file to the server that keeps them.
type apply struct {
	remote
	only string // the one kind that the command takes; "" means every one
	file string
	dry  bool
}

func newApply(c *console) *cobra.Command {
	o := apply{remote: remote{console: c}}
	cmd := o.command("Keep the documents of a file as new versions")
	cmd.Long = "Check the documents of a file, show the difference from the version before, and keep each as a new\n" +
		"version. A document says its kind: Delivery, Trust, Receiver, Policy or Workload; several in one\n" +
		"file have a line of --- between them. When one of several is wrong, none is kept.\n" +
		"It never deploys: what runs stays until something asks."
	return cmd
}

func newTrustApply(c *console) *cobra.Command {
	o := apply{remote: remote{console: c}, only: kindTrust}
	cmd := o.command("Merge a trust file into the trust policy")
	cmd.Long = "Merge a trust file into the trust policy by the signers' names: a signer that the file names is put\n" +
		"in or replaced, one that it does not name stays."
	return cmd
}

func (o *apply) command(short string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: short, Args: exactly(),
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
	list, err := o.read()
	if err != nil {
		return err
	}
	server, err := o.console.dial(o.connection)
	if err != nil {
		return err
	}
	if len(list) > 1 && !o.dry {
		for _, d := range list {
			if _, err := o.send(ctx, server, d, true); err != nil {
				return err
			}
		}
	}
	var kept []result
	for _, d := range list {
		var r result
		if r, err = o.send(ctx, server, d, o.dry); err != nil {
			break
		}
		kept = append(kept, r)
	}
	return errors.Join(o.show(kept), err) // what was kept before something went wrong is told all the same
}

// read is the documents of the file, each of a kind that the command takes.
func (o *apply) read() ([]document, error) {
	name, src, err := o.console.read(o.file)
	if err != nil {
		return nil, err
	}
	list, err := documents(name, src)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		switch {
		case o.only != "" && d.kind != o.only:
			return nil, d.move(fault.At(name, 1, 1, "the kind is %s, not %s", d.kind, o.only).WithHint("drawbridge apply -f takes every kind"))
		case d.kind == kindState:
			return nil, d.move(fault.At(name, 1, 1, "no server keeps what an environment shall run: a Git repository does").
				WithHint("commit it as environments/NAME.yaml to the repository that a trigger on git names"))
		case d.kind == kindWorkflow:
			return nil, d.move(fault.At(name, 1, 1, "no server keeps a workflow: its repository does").
				WithHint("commit it as .drawbridge/workflows/NAME.yaml"))
		}
	}
	return list, nil
}

// result is what became of one document.
type result struct {
	answer any // of the server
	text   func()
}

// show prints results: one as it is, several as a list.
func (o *apply) show(list []result) error {
	if len(list) == 0 {
		return nil
	}
	answers := make([]any, len(list))
	for i, r := range list {
		answers[i] = r.answer
	}
	var v any = answers
	if len(answers) == 1 {
		v = answers[0]
	}
	return o.console.show(o.format, v, func() {
		for _, r := range list {
			r.text()
		}
	})
}

// send has the server keep d, or with dry say what it would do.
func (o *apply) send(ctx context.Context, server *client.Client, d document, dry bool) (result, error) {
	if d.kind == bridge.KindReceiver {
		return o.receiver(ctx, server, d, dry)
	}
	q := url.Values{"file": {d.file}}
	if dry {
		q.Set("dry", "true")
	}
	var a api.Applied
	err := server.Upload(ctx, http.MethodPut, withQuery(applied[d.kind], q), api.YAMLType, d.src, &a)
	return result{a, func() { o.console.applied(a, dry) }}, d.move(err)
}

// applied says what became of a document.
func (c *console) applied(a api.Applied, dry bool) {
	c.diff(a.Diff)
	switch {
	case !a.Changed:
		c.print("%s: version %d, unchanged", printable(a.Name), a.Version)
	case dry:
		c.print("%s: would become version %d", printable(a.Name), a.Version+1)
	default:
		c.print("%s: version %d", printable(a.Name), a.Version)
	}
}
