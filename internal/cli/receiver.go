package cli

import (
	"net/http"
	"net/url"
	"slices"
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
	show := showing[api.Receiver]{
		use: "show", short: "Show a receiver, without its secret", arg: "NAME", path: receiversPath + "/", text: c.receiver,
	}
	return group(c, "receiver", "Make places at which other systems' deliveries arrive",
		newReceiverAdd(c), l.command("List receivers"), show.command(c), newReceiverTypes(c), newReceiverRotate(c), newReceiverRemove(c))
}

func newReceiverTypes(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "types", Short: "List the senders that a receiver may be for, and how each proves itself", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			server, err := c.dial(r.connection)
			if err != nil {
				return err
			}
			list, err := collect[api.ReceiverType](cmd.Context(), server, receiverTypesPath)
			if err != nil {
				return err
			}
			return c.show(r.format, list, func() { c.senderTypes(list) })
		},
	}
	r.flags(cmd)
	return cmd
}

// senderTypes prints each type of sender with its proofs beneath.
func (c *console) senderTypes(list []api.ReceiverType) {
	width := 0
	for _, t := range list {
		width = max(width, len(t.Name))
	}
	for _, t := range list {
		title := wrap(printable(t.Title), lineWidth-width-2)
		c.print("%-*s  %s", width, printable(t.Name), strings.Join(title, "\n"+strings.Repeat(" ", width+2)))
		notes := t.Schemes
		if t.Host {
			notes = append(slices.Clone(notes), "it needs --host")
		}
		for _, note := range notes {
			for i, line := range wrap(printable(note), lineWidth-width-4) {
				c.print("%-*s  %s%s", width, "", map[bool]string{true: "- ", false: "  "}[i == 0], line)
			}
		}
	}
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
	if slices.Contains(list, "*") {
		return "every application"
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
			if !o.json {
				c.say("the secret before counts for another day")
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
