package cli

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

// watchEvery is the time between two looks.
const watchEvery = time.Second

type status struct {
	remote
	watch bool
}

func newStatus(c *console) *cobra.Command {
	o := status{remote: remote{console: c}}
	cmd := &cobra.Command{
		Use: "status [APP]", Short: "Show what runs where, and what is on its way", Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			server, err := c.dial(o.connection)
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), server, first(args))
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "look again every second, until Ctrl-C")
	return cmd
}

// first is the first argument, or nothing.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (o *status) run(ctx context.Context, server *client.Client, application string) error {
	q := url.Values{}
	if application != "" {
		q.Set("application", application)
	}
	list, err := collect[api.Status](ctx, server, withQuery("/api/v1/status", q))
	if err != nil {
		return err
	}
	if !o.watch {
		return o.print(list)
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		if o.console.Terminal && !o.json {
			_, _ = fmt.Fprint(o.console.out, "\x1b[H\x1b[2J") // the top of an empty screen
		}
		if err := o.print(list); err != nil || o.console.out.err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // Ctrl-C is how a watch ends
		case <-tick.C:
		}
		if list, err = collect[api.Status](ctx, server, withQuery("/api/v1/status", q)); err != nil {
			return ignore(ctx, err)
		}
	}
}

// ignore is err unless ctx has ended, which explains it.
func ignore(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// collect reads every item of a list.
func collect[T any](ctx context.Context, server *client.Client, path string) ([]T, error) {
	list := []T{}
	for item, err := range client.Each[T](ctx, server, path) {
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

// print prints the environments, and under each that moves what its versions do.
func (o *status) print(list []api.Status) error {
	c := o.console
	return c.show(o.format, list, func() {
		if len(list) == 0 {
			c.say("there are no environments: drawbridge apply -f delivery.yaml")
			return
		}
		var rows [][]string
		for _, s := range list {
			rows = append(rows, c.statusRow(s))
			for _, t := range moving(s) {
				rows = append(rows, trafficRow(t))
			}
		}
		c.table([]string{"APPLICATION", "ENVIRONMENT", "VERSION", "DIGEST", "WEIGHT", "SINCE", "ADDRESS", "STATE", "REASON"}, rows)
	})
}

func (c *console) statusRow(s api.Status) []string {
	state, reason := string(s.State), s.Reason
	if s.Coming != "" {
		state = fmt.Sprintf("%s %s, promotion %d (%s)", s.Coming, s.State, s.Promotion, s.Step)
	}
	if s.Stale {
		reason = join(reason, "config newer than deployed")
	}
	if s.Expected != nil && s.Expected.Drifted {
		reason = join(reason, "drifted: Git states "+s.Expected.Version)
	}
	if !strings.Contains(reason, s.Frozen) {
		reason = join(reason, s.Frozen)
	}
	weight := ""
	if len(s.Traffic) == 1 {
		weight = fmt.Sprintf("%d %%", s.Traffic[0].Weight)
		if t := s.Traffic[0]; !t.Healthy {
			reason = join("unhealthy"+because(t.Reason), reason)
		}
	}
	digest := ""
	if !s.Digest.IsZero() {
		digest = s.Digest.Short()
	}
	return []string{s.Application, s.Environment, s.Version, digest, weight, c.age(s.Since), s.Address, state, reason}
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// moving is the versions that share an environment's traffic; none where one has it all.
func moving(s api.Status) []trafficOf {
	if len(s.Traffic) < 2 {
		return nil
	}
	var out []trafficOf
	for _, t := range s.Traffic {
		f := t.Figures
		out = append(out, trafficOf{
			version: t.Version, digest: brief(t.Digest), weight: t.Weight, healthy: t.Healthy, reason: t.Reason,
			figures: fmt.Sprintf("%d requests, %d errors (%.1f %%)", f.Requests, f.Errors, 100*f.ErrorShare()),
		})
	}
	return out
}

// trafficOf is one version's share of an environment's traffic, for people.
type trafficOf struct {
	version, digest, reason, figures string
	weight                           int
	healthy                          bool
}

func trafficRow(t trafficOf) []string {
	health := "healthy"
	if !t.healthy {
		health = "unhealthy" + because(t.reason)
	}
	return []string{"", "  ↳", t.version, t.digest, fmt.Sprintf("%d %%", t.weight), "", "", health, t.figures}
}
