package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

const (
	receiversPath     = "/api/v1/receivers"
	receiverTypesPath = "/api/v1/receivertypes"
)

func newReceiver(c *console) *cobra.Command {
	l := &listing[api.Receiver]{
		remote: remote{console: c}, path: receiversPath, none: "there are no receivers: drawbridge receiver add NAME --type TYPE --application APP",
		head: []string{"NAME", "TYPE", "FOR", "ADDRESS"},
		row: func(r api.Receiver) []string {
			return []string{r.Name, r.Type, strings.Join(r.Applications, " "), r.Address}
		},
	}
	types := &listing[api.ReceiverType]{
		remote: remote{console: c}, path: receiverTypesPath, none: "this server understands no sender",
		head: []string{"TYPE", "SECRET", "SENDER"},
		row:  func(t api.ReceiverType) []string { return []string{t.Name, t.Secret, t.Title} },
	}
	listTypes := types.command("List the senders that a receiver may be for")
	listTypes.Use = "types"
	show := showing[api.Receiver]{
		use: "show", short: "Show a receiver, without its secret", arg: "NAME", path: receiversPath + "/", text: c.receiver,
	}
	return group(c, "receiver", "Make places at which other systems' deliveries arrive",
		newReceiverAdd(c), l.command("List receivers"), show.command(c), listTypes, newReceiverRotate(c), newReceiverRemove(c))
}

// receiver prints one receiver.
func (c *console) receiver(r api.Receiver) {
	c.pairs(
		pair{"receiver", r.Name},
		pair{"type", r.Type},
		pair{"address", r.Address},
		pair{"may concern", concerned(r.Applications)},
		pair{"host", r.Host},
		pair{"audience", r.Audience},
		pair{"e-mail", r.Email},
		pair{"window", r.Window},
		pair{"version", number(int(r.Version))},
	)
}

// concerned are the applications that a receiver names.
func concerned(list []string) string {
	for _, name := range list {
		if name == "*" {
			return "every application"
		}
	}
	return strings.Join(list, ", ")
}

func newReceiverRotate(c *console) *cobra.Command {
	o := secretOf{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a receiver another secret; the one before counts for another day", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			secret, err := o.read()
			if err != nil {
				return err
			}
			server, err := c.dial(o.connection)
			if err != nil {
				return err
			}
			var m api.MadeReceiver
			path := receiversPath + "/" + url.PathEscape(args[0]) + "/rotate"
			if err := server.Send(cmd.Context(), http.MethodPost, path, api.NewSecret{Secret: secret}, &m); err != nil {
				return err
			}
			return o.made(cmd.Context(), server, m)
		},
	}
	o.flags(cmd)
	return cmd
}

func newReceiverRemove(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a receiver away: its deliveries are refused from now on", Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := r.send(cmd.Context(), http.MethodDelete, receiversPath+"/"+url.PathEscape(args[0]), nil, nil); err != nil {
				return err
			}
			c.say("receiver %s is removed", printable(args[0]))
			return nil
		},
	}
	r.connection.flags(cmd)
	return cmd
}

// secretOf is a command that gives a receiver a secret.
type secretOf struct {
	remote
	secretFile string
}

// flags adds --secret-file to those of every command.
func (o *secretOf) flags(cmd *cobra.Command) {
	o.remote.flags(cmd)
	cmd.Flags().StringVar(&o.secretFile, "secret-file", "", "`FILE` that holds the secret, - for standard input (default: the server makes one)")
}

// read is the secret that a person gave; "" when there is none.
func (o *secretOf) read() (string, error) {
	if o.secretFile == "" {
		return "", nil
	}
	name, b, err := o.console.read(o.secretFile)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		f := fault.New(fault.Invalid, "it holds no secret").WithHint("make one with: openssl rand -hex 32")
		f.File = name
		return "", f
	}
	return secret, nil
}
