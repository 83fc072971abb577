package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/client"
)

// Where a server keeps what commands beside it need.
const (
	dataDir        = "./.drawbridge-data"
	addressFile    = "address"
	adminTokenFile = "admin.token"
)

// connection is which server a command speaks to: the flags --server and --token.
type connection struct{ server, token string }

// flags adds --server and --token to cmd.
func (n *connection) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&n.server, "server", "", "`URL` of the server (default: the one of "+dataDir+")")
	cmd.Flags().StringVar(&n.token, "token", "", "`SECRET` of your token; the variable keeps it out of the process list")
	bind(cmd.Flags(), "server", "token")
}

// find completes n: the server that was named, else the one whose data directory is here.
// A token that was found in a data directory goes to the server of that directory only.
func (c *console) find(n connection) (connection, error) {
	dir := c.Getenv("DRAWBRIDGE_DATA")
	if dir == "" {
		dir = dataDir
	}
	here := firstLine(filepath.Join(dir, addressFile))
	if n.server == "" {
		n.server = here
	}
	if n.server == "" {
		return n, fault.New(fault.Invalid, "no server named").WithField("--server").
			WithHint("give --server URL or DRAWBRIDGE_SERVER, or start one here: drawbridge server")
	}
	n.server = strings.TrimRight(n.server, "/")
	if n.token == "" && n.server == here {
		n.token = firstLine(filepath.Join(dir, adminTokenFile))
	}
	if strings.ContainsFunc(n.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return n, fault.New(fault.Invalid, "the token is malformed").WithField("--token").
			WithHint("give the one line that drawbridge token create printed")
	}
	return n, nil
}

// dial returns a client for the server that find finds.
func (c *console) dial(n connection) (*client.Client, error) {
	n, err := c.find(n)
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Server: n.server, Token: n.token})
}

// firstLine is the first line of a file; "" when it cannot be read.
func firstLine(path string) string {
	b, err := os.ReadFile(path) //nolint:gosec // the user's own data directory
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}

// remote is a command that speaks to a server.
type remote struct {
	console *console
	connection
	format
}

// flags adds --server, --token and -o to cmd.
func (r *remote) flags(cmd *cobra.Command) {
	r.connection.flags(cmd)
	r.flag(cmd)
}

// get reads path into out.
func (r *remote) get(ctx context.Context, path string, out any) error {
	api, err := r.console.dial(r.connection)
	if err != nil {
		return err
	}
	return api.Get(ctx, path, out)
}

// send sends in to path and reads the answer into out.
func (r *remote) send(ctx context.Context, method, path string, in, out any) error {
	api, err := r.console.dial(r.connection)
	if err != nil {
		return err
	}
	return api.Send(ctx, method, path, in, out)
}
