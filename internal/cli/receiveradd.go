package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

const receiverAddHelp = `Make a place at which one sender's deliveries arrive, from flags or from a file of kind Receiver,
and say what the sender must be given: the address, and the secret with which it proves itself.
The secret is printed alone on standard output, this once; for senders that cannot sign it is the
last part of the address, and the whole address is printed. drawbridge receiver types lists the types.`

type receiverAdd struct {
	secretOf
	file         string
	applications []string
	doc          bridge.Receiver
}

func newReceiverAdd(c *console) *cobra.Command {
	o := receiverAdd{secretOf: secretOf{remote: remote{console: c}}}
	cmd := &cobra.Command{
		Use: "add NAME --type TYPE --application APP", Short: "Make a receiver and print its secret", Long: receiverAddHelp,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.file != "" {
				return exactly()(cmd, args)
			}
			return exactly("NAME")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.file != "" {
				return o.fromFile(cmd)
			}
			return o.fromFlags(cmd.Context(), args[0])
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "`FILE` of kind Receiver, in place of a name and the other flags; - for standard input")
	f.StringVar(&o.doc.Type, "type", "", "`TYPE` of the sender")
	f.StringSliceVar(&o.applications, "application", nil, "`NAME` of an application that its deliveries may concern, * for every one; may be repeated")
	f.StringVar(&o.doc.Host, "host", "", "`HOST` of the registry, for senders that do not name it")
	f.StringVar(&o.doc.Audience, "audience", "", "`AUDIENCE` of the OIDC token that the sender shows (default: the address)")
	f.StringVar(&o.doc.Email, "email", "", "`ADDRESS` of the service account in that token")
	f.StringVar(&o.doc.Window, "window", "", "how `LONG` ago a delivery may have been signed (default 5m)")
	return cmd
}

// fromFile applies a file.
func (o *receiverAdd) fromFile(cmd *cobra.Command) error {
	for _, name := range []string{"type", "application", "host", "audience", "email", "window"} {
		if cmd.Flags().Changed(name) {
			return fault.New(fault.Invalid, "a file says it itself").WithField("--"+name).WithHint("%s -f FILE", cmd.CommandPath())
		}
	}
	a := apply{remote: o.remote, only: bridge.KindReceiver, file: o.file}
	list, err := a.read()
	if err != nil {
		return err
	}
	if len(list) > 1 {
		return list[1].move(fault.At(list[1].file, 1, 1, "this is a second receiver").WithHint("drawbridge apply -f takes several"))
	}
	server, err := o.console.dial(o.connection)
	if err != nil {
		return err
	}
	return o.put(cmd.Context(), server, list[0].file, list[0].src)
}

// fromFlags writes the file that the flags stand for. It changes no receiver that is there.
func (o *receiverAdd) fromFlags(ctx context.Context, name string) error {
	switch {
	case o.doc.Type == "":
		return fault.New(fault.Invalid, "a receiver is for one type of sender").WithField("--type").WithHint("drawbridge receiver types")
	case len(o.applications) == 0:
		return fault.New(fault.Invalid, "a receiver concerns at least one application").WithField("--application").WithHint("name it; '*' means every one")
	}
	o.doc.Name, o.doc.Applications = name, o.applications
	server, err := o.console.dial(o.connection)
	if err != nil {
		return err
	}
	src := receiverFile(o.doc)
	var there api.Receiver
	err = server.Get(ctx, receiversPath+"/"+url.PathEscape(name), &there)
	switch {
	case err == nil && there.Source != src:
		return fault.New(fault.Conflict, "there is a receiver %s already, of type %s", there.Name, there.Type).
			WithHint("drawbridge receiver show %s; drawbridge apply -f changes one", there.Name)
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	}
	return o.put(ctx, server, name, []byte(src))
}

// receiverFile is a receiver as YAML. A JSON text is one of YAML.
func receiverFile(r bridge.Receiver) string {
	var b strings.Builder
	b.WriteString("apiVersion: drawbridge/v1\nkind: " + bridge.KindReceiver + "\n")
	for _, p := range []pair{
		{"name", r.Name}, {"type", r.Type}, {"host", r.Host}, {"audience", r.Audience}, {"email", r.Email}, {"window", r.Window},
	} {
		if p.value != "" {
			b.WriteString(p.name + ": " + quoted(p.value) + "\n")
		}
	}
	b.WriteString("applications: [" + strings.Join(each(r.Applications, quoted), ", ") + "]\n")
	return b.String()
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string is always JSON
	return string(b)
}

// put has the server keep a receiver, and says what the sender must be given.
func (o *receiverAdd) put(ctx context.Context, server *client.Client, file string, src []byte) error {
	secret, err := o.read()
	if err != nil {
		return err
	}
	var m api.MadeReceiver
	if err := server.Send(ctx, http.MethodPut, receiversPath, api.NewReceiver{File: file, Source: string(src), Secret: secret}, &m); err != nil {
		return err
	}
	return o.made(ctx, server, m)
}

// receiver has the server keep a receiver of an applied file.
func (o *apply) receiver(ctx context.Context, server *client.Client, d document, dry bool) (result, error) {
	var m api.MadeReceiver
	in := api.NewReceiver{File: d.file, Source: string(d.src), Dry: dry}
	if err := server.Send(ctx, http.MethodPut, receiversPath, in, &m); err != nil {
		return result{}, d.move(err)
	}
	t, err := senderType(ctx, server, m.Receiver.Type)
	return result{m, func() {
		o.console.applied(api.Applied{Name: m.Receiver.Name, Version: m.Version, Changed: m.Changed}, dry)
		if m.Secret != "" {
			o.console.give(m, t)
		}
	}}, err
}
