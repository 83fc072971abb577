// Command drawbridge is the server and its command line in one program.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules name time zones, which a small machine does not have

	"golang.org/x/sys/unix"

	"drawbridge/internal/cli"
	"drawbridge/internal/sandbox"
)

// version is the release's name: -ldflags "-X main.version=1.2.3". Without it the build
// information speaks.
var version string

func main() {
	sandbox.Init() // a sandbox's first process is this program too, and goes no further
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	return cli.Run(ctx, os.Args[1:], cli.IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Getenv: os.Getenv, Terminal: terminal(os.Stdout), Version: version,
	})
}

// terminal reports whether a person reads what is written to f.
func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
