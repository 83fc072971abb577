package cli

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
)

func newRelease(c *console) *cobra.Command {
	l := &listing[api.Release]{
		remote: remote{console: c}, path: "/api/v1/releases", query: map[string]*string{},
		none: "there are no releases: a trigger makes one of what the bridge has verified",
		head: []string{"RELEASE", "APPLICATION", "VERSION", "COMMIT", "AUTHOR", "AGE"},
		row: func(r api.Release) []string {
			return []string{brief(r.ID), r.Application, r.Version, brief(r.Commit), r.Author, c.age(r.Accepted)}
		},
	}
	list := l.command("List releases, newest first")
	l.filter(list, "application", "only releases of this application, `NAME`")
	show := showing[api.Release]{
		use: "show", short: "Show a release with its evidence", arg: "RELEASE", path: "/api/v1/releases/", text: c.release,
	}.command(c)
	show.Long = "Show a release with its evidence. RELEASE is its id, six or more of the id's first digits, or APPLICATION@VERSION."
	return group(c, "release", "Look at releases and verify them again", list, show, newReleaseVerify(c))
}

// release prints one release.
func (c *console) release(r api.Release) {
	c.pairs(
		pair{"release", r.ID},
		pair{"application", r.Application},
		pair{"version", r.Version},
		pair{"commit", r.Commit},
		pair{"author", r.Author},
		pair{"built", c.when(r.Built)},
		pair{"accepted", c.when(r.Accepted)},
		pair{"judged by", fmt.Sprintf("delivery version %d, trust version %d", r.Delivery, r.Trust)},
		pair{"chain", r.Chain},
	)
	for _, name := range slices.Sorted(maps.Keys(r.Artifacts)) {
		c.print("artifact %s: %s", printable(name), r.Artifacts[name])
	}
	c.evidences(r.Evidence)
}

// evidences prints what was verified of each artifact, with their names where there are several.
func (c *console) evidences(set bridge.EvidenceSet) {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if len(set) > 1 {
			c.print("")
			c.print("evidence of %s", printable(name))
		}
		c.evidence(set[name])
	}
}

// evidence prints what was verified.
func (c *console) evidence(e attest.Evidence) {
	c.print("")
	var found []pair
	if p := e.Provenance; p != nil {
		found = append(found, pair{"built by", p.Builder}, pair{"from", p.Repository + " " + shortRef(p.Ref) + " " + brief(p.Commit)}, pair{"isolation", p.Isolation})
	}
	found = append(found, pair{"authors", strings.Join(e.Authors, ", ")})
	if t := e.Tests; t != nil {
		found = append(found, pair{"tests", testsLine(*t)})
	}
	if v := e.Coverage; v != nil {
		found = append(found, pair{"coverage", coverageLine(*v)})
	}
	if f := e.Findings; f != nil {
		found = append(found, pair{"findings", findingsLine(*f)})
	}
	if s := e.SBOM; s != nil {
		found = append(found, pair{"sbom", fmt.Sprintf("%d components (%s)", s.Components, s.Format)})
	}
	c.pairs(found...)
	if len(e.Attestations) == 0 {
		return
	}
	c.print("")
	rows := make([][]string, len(e.Attestations))
	for i, a := range e.Attestations {
		rows[i] = []string{or(attest.ShortName(a.PredicateType), a.PredicateType), a.Signer, brief(a.Digest.String()), c.age(a.At)}
	}
	c.table([]string{"ATTESTATION", "SIGNER", "DIGEST", "AGE"}, rows)
}

func testsLine(t attest.Tests) string {
	return fmt.Sprintf("%d tests passed, %d failed, %d skipped%s", t.Passed, t.Failed, t.Skipped, claimed(t.Observed))
}

func coverageLine(v attest.Coverage) string {
	return fmt.Sprintf("%.1f %% of the lines covered%s", v.Line*100, claimed(v.Observed))
}

func findingsLine(f attest.Findings) string {
	return fmt.Sprintf("%d critical, %d high, %d medium, %d low findings%s", f.Critical, f.High, f.Medium, f.Low, claimed(f.Observed))
}

// claimed says who vouches for a value.
func claimed(observed bool) string {
	if observed {
		return ""
	}
	return " (claimed by the job)"
}

func newReleaseVerify(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "verify RELEASE", Short: "Verify a release again, by the trust that holds now", Args: exactly("RELEASE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var v api.Verification
			path := "/api/v1/releases/" + url.PathEscape(args[0]) + "/verify"
			if err := r.send(cmd.Context(), http.MethodPost, path, nil, &v); err != nil {
				return err
			}
			if err := c.show(r.format, v, func() { c.verification(v) }); err != nil || v.OK {
				return err
			}
			why := "the server gives no reason"
			if len(v.Refusals) > 0 {
				why = v.Refusals[0].Message
			}
			return fault.New(fault.Refused, "release %s does not hold: %s", brief(v.Release), why).
				WithHint("drawbridge trust show; drawbridge release show %s", brief(v.Release))
		},
	}
	r.flags(cmd)
	return cmd
}

func (c *console) verification(v api.Verification) {
	if v.OK {
		c.print("release %s holds (trust version %d)", brief(v.Release), v.Trust)
	}
	c.refusals(v.Refusals)
	c.evidences(v.Evidence)
}
