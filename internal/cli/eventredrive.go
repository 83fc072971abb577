package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/web/api"
	"drawbridge/internal/web/client"
)

func newEventRedrive(c *console) *cobra.Command {
	r := remote{console: c}
	all := false
	cmd := &cobra.Command{
		Use: "redrive EVENT...", Short: "Have events processed again", Args: cobra.ArbitraryArgs,
		Long: "Have events processed again: a dead one is received again, of a processed one, whose handoffs stand,\n" +
			"a new event is made.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return fault.New(fault.Invalid, "name events, or all that are dead").WithHint("drawbridge event redrive EVENT..., or drawbridge event redrive --all-dead")
			}
			server, err := c.dial(r.connection)
			if err != nil {
				return err
			}
			if all {
				if args, err = dead(cmd.Context(), server); err != nil {
					return err
				}
			}
			return c.redrive(cmd.Context(), server, args, r.format)
		},
	}
	r.flags(cmd)
	cmd.Flags().BoolVar(&all, "all-dead", false, "every event that waits in the dead letters")
	return cmd
}

// dead are the ids of the dead events, oldest first.
func dead(ctx context.Context, server *client.Client) ([]string, error) {
	list, err := collect[api.Event](ctx, server, withQuery(eventsPath, url.Values{"state": {string(bridge.EventDead)}}))
	slices.Reverse(list)
	return each(list, func(e api.Event) string { return fmt.Sprint(e.ID) }), err
}

// redrive has each event processed again; one that cannot be does not keep the others from it.
func (c *console) redrive(ctx context.Context, server *client.Client, ids []string, f format) error {
	again := []api.Event{}
	was := []string{}
	var problems []error
	for _, id := range ids {
		var e api.Event
		if err := server.Send(ctx, http.MethodPost, eventsPath+"/"+url.PathEscape(id)+"/redrive", nil, &e); err != nil {
			problems = append(problems, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		again, was = append(again, e), append(was, id)
	}
	err := c.show(f, again, func() {
		if len(ids) == 0 {
			c.say("no event is dead")
		}
		for i, e := range again {
			if fmt.Sprint(e.ID) == was[i] {
				c.print("event %d is processed again", e.ID)
			} else {
				c.print("event %s is processed again as event %d", printable(was[i]), e.ID)
			}
		}
	})
	return errors.Join(append(problems, err)...)
}
