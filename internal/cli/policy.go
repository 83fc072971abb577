package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/commitsig"
	"drawbridge/internal/web/api"
)

func newPolicy(c *console) *cobra.Command {
	o := apply{remote: remote{console: c}, only: bridge.KindPolicy}
	apply := o.command("Keep a policy as a new version")
	apply.Long = "Keep a policy, the floor under all deliveries, as a new version: whose signatures count on commits\n" +
		"that state what shall run, and which private addresses deliveries may name. It holds as a whole."
	return group(c, "policy", "Set the floor under all deliveries", apply, newPolicyShow(c))
}

func newPolicyShow(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "show", Short: "Show the policy that holds", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p api.Policy
			if err := r.get(cmd.Context(), "/api/v1/policy", &p); err != nil {
				return err
			}
			return c.show(r.format, p, func() { c.policy(p) })
		},
	}
	r.flags(cmd)
	return cmd
}

// policy prints the policy that holds.
func (c *console) policy(p api.Policy) {
	if p.Version == 0 {
		c.print("version 0: no policy was applied")
	} else {
		c.print("version %d", p.Version)
	}
	c.print("private addresses: %s", printable(or(strings.Join(p.Policy.Hosts.Private, ", "), "none")))
	if len(p.Policy.Commits.Signers) == 0 {
		c.print("signers of commits: none")
		return
	}
	c.print("")
	rows := make([][]string, len(p.Policy.Commits.Signers))
	for i, s := range p.Policy.Commits.Signers {
		rows[i] = []string{s.Identity, keys(s), bound(set(s.From)), bound(set(s.Until))}
	}
	c.table([]string{"SIGNER OF COMMITS", "KEYS", "FROM", "UNTIL"}, rows)
}

// set is t, or nil where it is zero.
func set(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// keys are a signer's keys in a few words: the kind and comment of each SSH key, and how many
// there are of GPG.
func keys(s commitsig.Signer) string {
	var out []string
	for _, line := range s.SSH {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, comment, _ := strings.Cut(strings.TrimSpace(rest), " ")
		out = append(out, strings.TrimSpace(kind+" "+comment))
	}
	for range s.GPG {
		out = append(out, "gpg")
	}
	return strings.Join(out, ", ")
}
