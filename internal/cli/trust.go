package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/attest"
	"drawbridge/internal/web/api"
)

func newTrust(c *console) *cobra.Command {
	return group(c, "trust", "Say who is believed, for what", newTrustApply(c), newTrustShow(c))
}

func newTrustShow(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "show", Short: "Show the trust policy that holds", Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var t api.Trust
			if err := r.get(cmd.Context(), "/api/v1/trust", &t); err != nil {
				return err
			}
			return c.show(r.format, t, func() { c.trust(t) })
		},
	}
	r.flags(cmd)
	return cmd
}

// trust prints who is believed.
func (c *console) trust(t api.Trust) {
	if t.Version == 0 {
		c.print("version 0: no trust file was applied")
	} else {
		c.print("version %d", t.Version)
	}
	if len(t.Policy.Signers) == 0 {
		c.say("nobody is believed, so nothing can cross: drawbridge trust apply -f trust.yaml")
		return
	}
	c.print("")
	rows := make([][]string, len(t.Policy.Signers))
	for i, s := range t.Policy.Signers {
		rows[i] = []string{s.Name, signedBy(s), strings.Join(s.Predicates, " "), bound(s.From), bound(s.Until)}
	}
	c.table([]string{"SIGNER", "SIGNS BY", "MAY STATE", "FROM", "UNTIL"}, rows)
}

// signedBy says how a signer's signatures are known.
func signedBy(s attest.Signer) string {
	if s.Key != "" {
		return "key"
	}
	return s.Issuer + " " + s.Subject
}

func bound(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
