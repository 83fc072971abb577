package cli

import (
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/bridge"
	"drawbridge/internal/web/api"
)

func newHandoffExplain(c *console) *cobra.Command {
	r := remote{console: c}
	cmd := &cobra.Command{
		Use: "explain HANDOFF", Short: "Tell the story of a handoff, from its event to its outcome", Args: exactly("HANDOFF"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var e api.Explanation
			if err := r.get(cmd.Context(), "/api/v1/handoffs/"+url.PathEscape(args[0])+"/explain", &e); err != nil {
				return err
			}
			return c.show(r.format, e, func() { c.explanation(e) })
		},
	}
	r.flags(cmd)
	return cmd
}

// explanation prints a story, a sentence at a time: what held is ticked, what did not is
// crossed, with what was found beneath.
func (c *console) explanation(e api.Explanation) {
	h := e.Handoff
	at := strings.TrimSuffix(h.Application+"/"+h.Trigger, "/")
	c.print("handoff %d of event %d at %s: %s", h.ID, h.Event, printable(at), c.stateColour(h.State))
	c.print("")
	checks, refusals := h.Checks, h.Refusals
	for _, sentence := range e.Story {
		mark, found := "•", ""
		switch {
		case len(checks) > 0 && tells(sentence, checks[0]):
			mark, checks = c.mark(checks[0].OK), checks[1:]
		case len(refusals) > 0 && strings.Contains(sentence, strings.TrimRight(refusals[0].Message, ".:;, ")) && strings.HasPrefix(sentence, "Not proven"):
			mark, found, refusals = c.mark(false), refusals[0].Found, refusals[1:]
		}
		c.item(mark, sentence)
		if found != "" {
			c.item(" ", "found: "+found)
		}
	}
}

// tells reports whether a sentence of a story tells of k.
func tells(sentence string, k bridge.Check) bool {
	n := len(k.What)
	return n > 0 && len(sentence) > n && strings.EqualFold(sentence[:n], k.What) &&
		(strings.HasPrefix(sentence[n:], " holds") || strings.HasPrefix(sentence[n:], " does not hold"))
}

// mark is a tick or a cross.
func (c *console) mark(ok bool) string {
	if ok {
		return c.coloured(green, "✓")
	}
	return c.coloured(red, "✗")
}

// item prints a paragraph behind a mark one column wide.
func (c *console) item(mark, text string) {
	for i, line := range wrap(printable(text), lineWidth-2) {
		if i > 0 {
			mark = " "
		}
		c.print("%s %s", mark, line)
	}
}

// stateColour is a handoff's state, in its colour on a terminal.
func (c *console) stateColour(s bridge.HandoffState) string {
	colour := ""
	switch s {
	case bridge.Accepted:
		colour = green
	case bridge.Refused:
		colour = red
	case bridge.Waiting:
		colour = yellow
	case bridge.Ignored:
	}
	return c.coloured(colour, printable(string(s)))
}
