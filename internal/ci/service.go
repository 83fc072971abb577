package ci

import (
	"context"
	"crypto"
	"io"
	"log/slog"
	"sync"
	"time"

	"drawbridge/internal/fault"
)

// Config is what a Service works with. Every field without a default is required.
type Config struct {
	Store     Store
	Source    Source
	Executor  Executor
	Publisher Publisher
	Resolver  Resolver
	Poster    Poster
	Logs      LogStore
	Key       crypto.Signer     // ECDSA P-256: signs every attestation
	Now       func() time.Time  // the clock
	Random    io.Reader         // for chain ids, crypto/rand.Reader outside tests
	Builder   string            // provenance's builder id, a URI: this server's
	URL       string            // this server's address, GITHUB_SERVER_URL in jobs
	ReadOnly  []string          // host directories that jobs see read-only, GOROOT for example
	Env       map[string]string // added to every job's environment; wins over the defaults
	LogLimit  int64             // bytes of one job's log; 0 means 64 MiB
	Log       *slog.Logger
}

// Service is the CI plane. It is safe for concurrent use. Create it with New.
type Service struct {
	Config
	mu     sync.Mutex
	active map[int64]context.CancelCauseFunc // jobs that this process executes
}

// DefaultLogLimit bounds one job's log in bytes unless Config.LogLimit says otherwise.
const DefaultLogLimit = 64 << 20

// New returns a Service, or a fault of kind Invalid that names the field that is missing.
func New(c Config) (*Service, error) {
	for _, f := range []struct {
		name    string
		missing bool
	}{
		{"Store", c.Store == nil},
		{"Source", c.Source == nil},
		{"Executor", c.Executor == nil},
		{"Publisher", c.Publisher == nil},
		{"Resolver", c.Resolver == nil},
		{"Poster", c.Poster == nil},
		{"Logs", c.Logs == nil},
		{"Key", c.Key == nil},
		{"Now", c.Now == nil},
		{"Random", c.Random == nil},
		{"Builder", c.Builder == ""},
		{"Log", c.Log == nil},
	} {
		if f.missing {
			return nil, fault.New(fault.Invalid, "the CI plane cannot work without it").WithField(f.name)
		}
	}
	if c.LogLimit == 0 {
		c.LogLimit = DefaultLogLimit
	}
	return &Service{Config: c, active: map[int64]context.CancelCauseFunc{}}, nil
}
