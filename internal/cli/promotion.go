package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/web/api"
)

func newPromotion(c *console) *cobra.Command {
	return group(c, "promotion", "Look at promotions", newPromotionList(c), newPromotionShow(c))
}

func newPromotionList(c *console) *cobra.Command {
	active := ""
	l := &listing[api.Promotion]{
		remote: remote{console: c}, path: "/api/v1/promotions", query: map[string]*string{"active": &active},
		none: "there are no promotions: drawbridge promote RELEASE --to ENV",
		head: []string{"ID", "APPLICATION", "ENVIRONMENT", "VERSION", "STATE", "STEP", "WEIGHT", "AGE", "REASON"},
		row: func(p api.Promotion) []string {
			return []string{
				fmt.Sprint(p.ID), p.Application, p.Environment, p.Version, string(p.State), position(p), fmt.Sprintf("%d %%", p.Weight),
				c.age(p.Opened), p.Reason,
			}
		},
	}
	cmd := l.command("List promotions, newest first")
	l.filter(cmd, "application", "only promotions of this application, `NAME`")
	l.filter(cmd, "environment", "only promotions to this environment, `NAME`")
	l.filter(cmd, "state", "only promotions in this `STATE`: "+states())
	cmd.Flags().BoolFunc("active", "only promotions that have not ended", func(s string) error {
		active = s
		return nil
	})
	return cmd
}

func states() string {
	names := make([]string, 0, len(cd.States()))
	for _, s := range cd.States() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// position is how far a promotion has come: "4/9 shift 10 %".
func position(p api.Promotion) string {
	if p.State.Ended() || p.Step >= len(p.Steps) {
		return fmt.Sprintf("%d/%d", min(p.Step, len(p.Steps)), len(p.Steps))
	}
	return fmt.Sprintf("%d/%d %s", p.Step+1, len(p.Steps), p.Steps[p.Step].Text)
}

func newPromotionShow(c *console) *cobra.Command {
	return showing[api.Promotion]{
		use: "show", short: "Show a promotion with its plan, decisions and causes", arg: "PROMOTION", path: "/api/v1/promotions/",
		text: c.promotion,
	}.command(c)
}

// promotion prints one promotion.
func (c *console) promotion(p api.Promotion) {
	c.pairs(
		pair{"promotion", fmt.Sprint(p.ID)},
		pair{"to", p.Application + "/" + p.Environment},
		pair{"release", p.Version + " (" + brief(p.Release) + ")"},
		pair{"state", string(p.State)},
		pair{"reason", p.Reason},
		pair{"weight", fmt.Sprintf("%d %%", p.Weight)},
		pair{"base", brief(p.Base)},
		pair{"plan", p.Plan.String()},
		pair{"inputs", inputText(p.Inputs)},
		pair{"requester", p.Requester},
		pair{"author", p.Author},
		pair{"opened", c.when(p.Opened)},
		pair{"admitted", c.whenOf(p.Admitted)},
		pair{"ended", c.whenOf(p.Ended)},
		pair{"chain", p.Chain},
	)
	c.print("")
	c.steps(p.Steps)
	for _, cause := range p.Causes {
		c.print("cause: %s by %s%s (%s ago)", cause.Kind, or(printable(cause.Actor), "nobody"), because(cause.Note), c.age(cause.At))
	}
	for _, d := range p.Decisions {
		word := "rejected"
		if d.Approve {
			word = "approved"
		}
		c.print("%s by %s%s (plan %s, %s ago)", word, printable(d.Actor), because(d.Message), d.Plan.Short(), c.age(d.At))
	}
}

// inputText is a person's inputs in one line, sorted: what is no text stands as JSON.
func inputText(inputs map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		text, ok := inputs[name].(string)
		if !ok {
			b, err := json.Marshal(inputs[name])
			if err != nil {
				b = []byte(fmt.Sprint(inputs[name]))
			}
			text = string(b)
		}
		parts = append(parts, printable(name)+"="+printable(text))
	}
	return strings.Join(parts, ", ")
}

// steps prints the steps of a plan.
func (c *console) steps(list []api.PlanStep) {
	rows := make([][]string, len(list))
	head := []string{"#", "STEP"}
	for i, s := range list {
		rows[i] = []string{fmt.Sprint(i + 1), s.Text}
		if s.State != "" {
			head = []string{"#", "STEP", "STATE"}
			rows[i] = append(rows[i], s.State)
		}
	}
	c.table(head, rows)
}

// asked says what a request for a promotion led to.
func (c *console) asked(p api.Promotion) {
	c.print("promotion %d of %s %s to %s: %s%s", p.ID, printable(p.Application), printable(p.Version), printable(p.Environment), p.State, because(p.Reason))
}

// tagOf is an image by its tag alone, where it has one: what lists have room for.
func tagOf(image string) string {
	r, err := artifact.ParseReference(image)
	if err != nil || r.Tag == "" {
		return briefImage(image)
	}
	before, _, _ := strings.Cut(image, "@")
	return before
}

// briefImage is an image whose digest is cut short.
func briefImage(image string) string {
	r, err := artifact.ParseReference(image)
	if err != nil || r.Digest.IsZero() {
		return image
	}
	before, _, _ := strings.Cut(image, "@")
	return before + "@" + r.Digest.Short()
}
