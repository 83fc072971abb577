package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

func newAudit(c *console) *cobra.Command {
	return group(c, "audit", "Read the audit logs, and prove that they were not changed", newAuditList(c), newAuditVerify(c), newAuditExport(c))
}

// planes lists the planes that a server may have.
func planes() []string { return []string{api.PlaneCI, api.PlaneCD} }

func validPlane(plane string) error {
	if plane == "" || slices.Contains(planes(), plane) {
		return nil
	}
	return fault.New(fault.Invalid, "%.40q is no plane", plane).WithField("--plane").WithHint("write ci or cd")
}

// logEntry is an entry with the plane whose log it is in.
type logEntry struct {
	Plane string `json:"plane"`
	api.AuditEntry
}

type auditList struct {
	remote
	plane string
	limit int
}

func newAuditList(c *console) *cobra.Command {
	o := auditList{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "list", Short: "List the newest entries, the oldest of them first", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := validPlane(o.plane); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.plane, "plane", "", "`PLANE`: ci or cd (default: all that the server has)")
	cmd.Flags().IntVarP(&o.limit, "limit", "n", 50, "at most `N`, 0 for all")
	return cmd
}

func (o *auditList) run(ctx context.Context) error {
	server, err := o.console.dial(o.connection)
	if err != nil {
		return err
	}
	list := []logEntry{}
	err = eachPlane(o.plane, func(plane string) error {
		entries, err := collect[api.AuditEntry](ctx, server, "/api/v1/audit?plane="+plane)
		for _, e := range entries {
			list = append(list, logEntry{plane, e})
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b logEntry) int { return a.At.Compare(b.At) })
	if o.limit > 0 && len(list) > o.limit {
		o.console.say("there are %d more: --limit 0 lists all", len(list)-o.limit)
		list = list[len(list)-o.limit:]
	}
	return o.console.show(o.format, list, func() { o.print(list) })
}

func (o *auditList) print(list []logEntry) {
	rows := make([][]string, len(list))
	for i, e := range list {
		rows[i] = []string{e.Plane, fmt.Sprint(e.Seq), e.At.UTC().Format("2006-01-02 15:04:05"), e.Actor, e.Action, e.Subject, detail(e.Detail)}
	}
	o.console.table([]string{"PLANE", "SEQ", "AT (UTC)", "ACTOR", "ACTION", "SUBJECT", "DETAIL"}, rows)
}

// detail is an entry's detail in one line, sorted, long values cut.
func detail(values map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := []rune(values[key])
		if isHash(values[key]) {
			value = []rune(brief(values[key]))
		}
		if len(value) > 40 {
			value = append(value[:39], '…')
		}
		parts = append(parts, key+"="+string(value))
	}
	return strings.Join(parts, " ")
}

// isHash reports whether s is a digest or an id made of one.
func isHash(s string) bool {
	hex := strings.TrimPrefix(s, "sha256:")
	return len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// eachPlane calls fn for the plane, or for each that the server has; at least one.
func eachPlane(plane string, fn func(plane string) error) error {
	if plane != "" {
		return fn(plane)
	}
	var missing error
	found := false
	for _, p := range planes() {
		err := fn(p)
		if fault.Is(err, fault.NotFound) {
			missing = err
			continue
		}
		if err != nil {
			return err
		}
		found = true
	}
	if !found {
		return missing
	}
	return nil
}

func newAuditExport(c *console) *cobra.Command {
	var n connection
	plane := ""
	cmd := &cobra.Command{
		Use: "export --plane PLANE", Short: "Print an audit log with its checkpoints, to be verified elsewhere", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if plane == "" {
				return fault.New(fault.Invalid, "no plane named").WithField("--plane").WithHint("write --plane ci or --plane cd")
			}
			if err := validPlane(plane); err != nil {
				return err
			}
			server, err := c.dial(n)
			if err != nil {
				return err
			}
			return export(cmd.Context(), server, plane, c.out)
		},
	}
	n.flags(cmd)
	cmd.Flags().StringVar(&plane, "plane", "", "`PLANE`: ci or cd")
	return cmd
}

// export copies the export of a plane's log to w.
func export(ctx context.Context, server *client.Client, plane string, w io.Writer) error {
	log, err := server.Open(ctx, withQuery("/api/v1/audit/export", url.Values{"plane": {plane}}))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // read to its end
	if _, err := io.Copy(w, log); err != nil {
		return fmt.Errorf("export the audit log of plane %s: %w", plane, err)
	}
	return nil
}
