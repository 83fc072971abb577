package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// series are measurements of one thing, in milliseconds or whatever the row's unit is.
type series []float64

// add takes a time.
func (s *series) add(d time.Duration) { *s = append(*s, float64(d)/float64(time.Millisecond)) }

// at is the value below which the share p of the measurements lies.
func (s series) at(p float64) float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// row is one figure with what it is compared with.
type row struct {
	group    string
	what     string
	got      series
	plain    string // what the baseline is
	baseline series // empty: there is none
	unit     string // "" means milliseconds
}

// enough is the number of measurements from which a 99th percentile says something.
const enough = 100

func (r row) cells() []string {
	if len(r.baseline) == 0 {
		return []string{r.what, r.value(r.got, 0.5), r.tail(r.got), "–", "–", "–", "–", fmt.Sprint(len(r.got))}
	}
	return []string{
		r.what, r.value(r.got, 0.5), r.tail(r.got), r.plain, r.value(r.baseline, 0.5), r.tail(r.baseline),
		fmt.Sprintf("%.3g", r.got.at(0.5)/r.baseline.at(0.5)), fmt.Sprint(len(r.got)),
	}
}

func (r row) tail(s series) string {
	if len(s) < enough || r.unit != "" {
		return "–"
	}
	return r.value(s, 0.99)
}

func (r row) value(s series, p float64) string {
	v, unit := s.at(p), r.unit
	if unit == "" {
		unit = "ms"
	}
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f %s", v, unit)
	case v >= 10:
		return fmt.Sprintf("%.1f %s", v, unit)
	}
	return fmt.Sprintf("%.2f %s", v, unit)
}

var header = []string{"measured", "p50", "p99", "plain baseline", "p50", "p99", "ratio", "n"}

// report is what a run found.
type report struct {
	rows  []row
	notes []string
	files string // kind of file system that the data was on
	load  string
}

func (r report) facts() string {
	return fmt.Sprintf("%d cores, %s/%s, data on %s, %s, %s; load average %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, r.files, runtime.Version(), gitVersion(), r.load)
}

func gitVersion() string {
	out, err := exec.Command("git", "--version").Output() //nolint:noctx // an instant
	if err != nil {
		return "no git"
	}
	return strings.TrimSpace(string(out))
}

// text prints the report as a table for a terminal.
func (r report) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	group := ""
	for _, row := range r.rows {
		if row.group != group {
			group = row.group
			_, _ = fmt.Fprintf(w, "\n%s\n%s\n", group, strings.Join(header, "\t")) // Flush tells
		}
		_, _ = fmt.Fprintln(w, strings.Join(row.cells(), "\t")) // Flush tells
	}
	_, _ = fmt.Fprintf(w, "\n%s\n", r.facts()) // Flush tells
	for _, n := range r.notes {
		_, _ = fmt.Fprintln(w, n) // Flush tells
	}
	return w.Flush()
}

// Marks in the page between which the figures stand.
const (
	begin = "<!-- figures: make bench ARGS='-write docs/benchmarks.md' -->\n"
	end   = "<!-- end of figures -->\n"
)

// page puts the figures between the marks of a page.
func (r report) page(path string) error {
	old, err := os.ReadFile(path) //nolint:gosec // the page that the user names
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(old), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return fmt.Errorf("%s has no marks to put the figures between:\n%s%s", path, begin, end)
	}
	var b bytes.Buffer
	b.WriteString(head + begin)
	group := ""
	for _, row := range r.rows {
		if row.group != group {
			group = row.group
			b.WriteString("\n### " + group + "\n\n| " + strings.Join(header, " | ") + " |\n|" + strings.Repeat(" --- |", len(header)) + "\n")
		}
		b.WriteString("| " + strings.Join(row.cells(), " | ") + " |\n")
	}
	b.WriteString("\nMachine: " + r.facts() + ".\n")
	for _, n := range r.notes {
		b.WriteString("\n" + n + "\n")
	}
	b.WriteString("\n" + end + tail)
	return os.WriteFile(path, b.Bytes(), 0o644) //nolint:gosec // a page that everybody reads
}
