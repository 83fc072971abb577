package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"drawbridge/internal/fault"
)

// format is how a command prints: the value of -o.
type format struct{ json bool }

// flag adds -o to cmd.
func (f *format) flag(cmd *cobra.Command) {
	cmd.Flags().VarP(f, "output", "o", "`FORMAT`: text or json")
}

// String is the flag's value.
func (f *format) String() string {
	if f.json {
		return "json"
	}
	return "text"
}

// Set reads the flag's value.
func (f *format) Set(s string) error {
	if s != "json" && s != "text" {
		return fault.New(fault.Invalid, "write text or json")
	}
	f.json = s == "json"
	return nil
}

// Type is what the flag is called in help texts.
func (f *format) Type() string { return "format" }

// show prints v as JSON, or calls text.
func (c *console) show(f format, v any, text func()) error {
	if !f.json {
		text()
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("print the answer: %w", err)
	}
	c.print("%s", b)
	return nil
}

// table prints rows in aligned columns under a head, without trailing space. A column
// that is empty in every row is left out.
func (c *console) table(head []string, rows [][]string) {
	head, rows = filled(head, rows)
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{head}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(strings.ReplaceAll(cell, "\t", " "))
			if cells[i] == "" {
				cells[i] = "-"
			}
		}
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
	for line := range strings.Lines(b.String()) {
		c.print("%s", strings.TrimRight(line, " \n"))
	}
}

// filled is a table without its empty columns.
func filled(head []string, rows [][]string) ([]string, [][]string) {
	var kept []int
	for i := range head {
		if slices.ContainsFunc(rows, func(row []string) bool { return row[i] != "" }) {
			kept = append(kept, i)
		}
	}
	pick := func(row []string) []string {
		out := make([]string, len(kept))
		for to, from := range kept {
			out[to] = row[from]
		}
		return out
	}
	out := make([][]string, len(rows))
	for i, row := range rows {
		out[i] = pick(row)
	}
	return pick(head), out
}

// pair is one line of a listing of a single thing.
type pair struct{ name, value string }

// pairs prints names and values in two columns; a pair without a value is left out. On a
// terminal a long value goes on beneath its beginning.
func (c *console) pairs(list ...pair) {
	width := 0
	for _, p := range list {
		if p.value != "" {
			width = max(width, len(p.name))
		}
	}
	for _, p := range list {
		if p.value == "" {
			continue
		}
		lines := []string{printable(p.value)}
		if c.Terminal {
			lines = wrap(lines[0], lineWidth-width-3)
		}
		c.print("%-*s  %s", width+1, p.name+":", strings.Join(lines, "\n"+strings.Repeat(" ", width+3)))
	}
}

// age is how long ago t was, in one unit: "3m".
func (c *console) age(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return short(c.Now().Sub(t))
}

// when is a moment with its age: "2026-01-02 15:04:05 UTC (3m ago)".
func (c *console) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05 MST") + " (" + c.age(t) + " ago)"
}

// whenOf is when for a time that may be missing.
func (c *console) whenOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return c.when(*t)
}

// short is d in its biggest unit, rounded down; less than nothing is nothing.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, d/time.Second))
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}

// brief is the start of a digest or an id, without the algorithm: enough to tell and to type.
func brief(digest string) string {
	_, hex, found := strings.Cut(digest, ":")
	if !found {
		hex = digest
	}
	return hex[:min(12, len(hex))]
}
