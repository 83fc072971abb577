// Command bench measures what people wait for, on the real binary, and beside each figure
// a plain baseline in the same run: one is measured after the other, round by round, so
// that both meet the same machine. It prints a table; -write keeps it in a page.
//
//	go run ./bench -program bin/drawbridge [-only start,push,deploy,ingest,flood] [-write docs/benchmarks.md]
//
// It needs Go and git. PostgreSQL is measured where it is installed. A run is over in
// about five minutes; flood, which is left out unless it is named, takes some more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// limit bounds a run, which is over in much less.
const limit = 10 * time.Minute

// usual are the parts that are measured when none is named.
const usual = "start,push,deploy,ingest"

// bench is what the parts share.
type bench struct {
	dir     string // for everything that a run writes; goes with it
	program string // the drawbridge binary
	service string // the binary of bench/service
	events  int    // events of each database
	log     io.Writer
	now     func() time.Time
	rows    []row
	notes   []string
}

// part is one group of figures.
type part struct {
	name string
	run  func(b *bench, ctx context.Context) error
}

func parts() []part {
	return []part{
		{"start", (*bench).start},
		{"push", (*bench).push},
		{"deploy", (*bench).deploy},
		{"ingest", (*bench).ingest},
		{"flood", (*bench).flood},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, log io.Writer) (err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	program := f.String("program", "bin/drawbridge", "the drawbridge binary to measure")
	only := f.String("only", usual, "the parts to measure")
	events := f.Int("events", 110, "artifact events for each database")
	write := f.String("write", "", "page to keep the figures in")
	place := f.String("dir", "/var/tmp", "where to work; on a file system in memory a commit costs nothing")
	if err := f.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp(*place, "drawbridge-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{dir: dir, service: filepath.Join(dir, "service"), events: *events, log: log, now: time.Now} //nolint:forbidigo // a stopwatch needs a clock
	if b.program, err = filepath.Abs(*program); err != nil {
		return err
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	before := load()
	wrong := b.measure(ctx, strings.Split(*only, ","))
	r := report{rows: b.rows, notes: b.notes, files: filesystem(dir), load: before + " before, " + load() + " after"}
	if err := errors.Join(wrong, r.text(out)); err != nil || *write == "" {
		return err // with what was measured until then
	}
	return r.page(*write)
}

// measure runs the parts that are named.
func (b *bench) measure(ctx context.Context, names []string) error {
	for _, p := range parts() {
		if !slices.Contains(names, p.name) {
			continue
		}
		if err := p.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// build makes the service's binary.
func (b *bench) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.service, "drawbridge/bench/service") //nolint:gosec // our own package
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the service: %w: %s", err, out)
	}
	return nil
}

// say tells a person who waits what is measured now.
func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.log, "bench: "+format+"\n", args...) // it is nothing but company
}

// since is the time since began.
func (b *bench) since(began time.Time) time.Duration { return b.now().Sub(began) }

// filesystem is the kind of file system that holds dir.
func filesystem(dir string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return "an unknown file system"
	}
	for magic, name := range map[int64]string{0xef53: "ext4", 0x01021994: "tmpfs", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x794c7630: "overlayfs"} {
		if st.Type == magic {
			return name
		}
	}
	return fmt.Sprintf("file system %#x", st.Type)
}

// load is the machine's load average over a minute.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
