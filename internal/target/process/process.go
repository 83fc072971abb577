// Package process is the deploy target that needs nothing but this machine: it runs the
// versions of an environment as supervised processes and puts a proxy in front of them.
//
// An image is unpacked once by digest below Config.Dir and started through a Launcher,
// which isolates it. A version listens on 127.0.0.1 at the port that it finds in PORT;
// it also finds VERSION, DIGEST and ENVIRONMENT. Its health is asked directly, and a
// version that crashes is started again with a growing pause. The proxy owns the
// environment's stable address, splits requests exactly by weight and counts them per
// version; changing weights or stopping a version loses no request.
//
// Nothing is kept on disk but unpacked images. After a start of the server nothing runs
// until Apply is called with what the caller's rows say.
package process

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
)

// Images reads OCI images from a registry. What it returns is not trusted: every byte is
// checked against the digest that named it.
type Images interface {
	// Manifest is the manifest or index that ref names by digest, with its media type.
	Manifest(ctx context.Context, ref artifact.Reference) (body []byte, mediaType string, err error)
	// Blob opens the blob d of ref's repository. The caller closes it.
	Blob(ctx context.Context, ref artifact.Reference, d artifact.Digest) (io.ReadCloser, error)
}

// Launcher starts processes, isolated from the server and from each other.
type Launcher interface {
	// Start starts one process and returns once it runs. ctx bounds the start alone: the
	// process lives until it ends by itself, is stopped, or the server dies.
	Start(ctx context.Context, spec LaunchSpec) (Instance, error)
}

// LaunchSpec says what a Launcher starts.
type LaunchSpec struct {
	ID      string    // unique among the processes of this server: letters, digits, "." and "-"
	Root    string    // absolute host path of the unpacked image, which the process sees read-only as /; it has /dev, /proc and /tmp
	Command []string  // program and arguments; the program is an absolute path in Root, or a bare name to look up in PATH
	Env     []string  // NAME=value: the whole environment
	Dir     string    // working directory, an absolute path in Root
	Stdout  io.Writer // never nil; written by one goroutine at a time
	Stderr  io.Writer // never nil; written by one goroutine at a time, before Done is closed
}

// Instance is one started process with all its children. It may be used by several
// goroutines at once.
type Instance interface {
	// Done is closed once the process has ended and its output has been written.
	Done() <-chan struct{}
	// Exit says how it ended, for people: "exit code 2". It is "" before Done is closed.
	Exit() string
	// Stop sends TERM, after grace KILL, to the whole process tree and returns once it has
	// ended. It is idempotent.
	Stop(ctx context.Context, grace time.Duration) error
}

// Config makes a Target. The zero value of every field but the first three is good.
type Config struct {
	Dir      string // absolute path; images are unpacked into Dir/unpacked, which is made
	Images   Images
	Launcher Launcher

	Log    *slog.Logger     // nil: nothing is logged
	Now    func() time.Time // nil: time.Now
	Client *http.Client     // asks for health; nil: one that follows no redirect and keeps no connection

	StartTimeout time.Duration // in which a version must become healthy; 0 means 30 s
	DrainTimeout time.Duration // that a version's last requests get before it is stopped; 0 means 10 s
	StopGrace    time.Duration // between TERM and KILL; 0 means 5 s
	MaxBody      int64         // bytes of a request's body; 0 means 1 GiB
	Limits       Limits        // of an unpacked image
}

// Limits bound what an image may unpack to.
type Limits struct {
	Bytes   int64 // of all files together; 0 means 4 GiB
	Entries int   // files, directories and links of all layers; 0 means 200,000
}

// Target is the process target. It is safe for concurrent use.
type Target struct {
	config Config
	images *unpacker
	ports  *ports
	life   context.Context // ends when Close is called
	end    context.CancelFunc

	buffers  buffers
	launches atomic.Int64 // numbers instances

	mu           sync.Mutex
	environments map[cd.EnvironmentRef]*environment
}

var _ cd.Target = (*Target)(nil)

// New makes a target and removes what an interrupted unpacking left in c.Dir. Only one
// Target may use a directory at a time. The caller closes it.
func New(c Config) (*Target, error) {
	c = c.withDefaults()
	images, err := newUnpacker(c)
	if err != nil {
		return nil, fmt.Errorf("prepare the directory of unpacked images: %w", err)
	}
	life, end := context.WithCancel(context.Background())
	return &Target{
		config: c, images: images, ports: newPorts(), life: life, end: end,
		environments: map[cd.EnvironmentRef]*environment{},
	}, nil
}

// newID names an instance: "application.environment.digest.n".
func (t *Target) newID(env cd.EnvironmentRef, d artifact.Digest) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, env.Application+"."+env.Name)
	return fmt.Sprintf("%.60s.%s.%d", plain, d.Short(), t.launches.Add(1))
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Client == nil {
		c.Client = probeClient()
	}
	c.StartTimeout = orDefault(c.StartTimeout, 30*time.Second)
	c.DrainTimeout = orDefault(c.DrainTimeout, 10*time.Second)
	c.StopGrace = orDefault(c.StopGrace, 5*time.Second)
	c.MaxBody = orDefault(c.MaxBody, 1<<30)
	c.Limits.Bytes = orDefault(c.Limits.Bytes, 4<<30)
	c.Limits.Entries = orDefault(c.Limits.Entries, 200_000)
	return c
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// dirMode lets the service's own user walk an unpacked image; what protects it from other
// users of the machine is the mode of the data directory above.
const dirMode os.FileMode = 0o755
