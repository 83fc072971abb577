package sandbox_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"drawbridge/internal/ci"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/sandbox/sandboxtest"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	if len(os.Args) > 1 && os.Args[1] == probeArg {
		os.Exit(probe(os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// open gives a sandbox in a directory that only the server's user can enter.
func open(t testing.TB, change func(*sandbox.Config)) *sandbox.Sandbox {
	t.Helper()
	cfg := sandbox.Config{Dir: filepath.Join(t.TempDir(), "data")}
	if change != nil {
		change(&cfg)
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	f, err := s.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(f.Isolation, "none") {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no sandbox can be made here: %s", f.Isolation)
		}
		t.Skipf("no sandbox can be made here: %s", f.Isolation)
	}
	return s
}

func TestConformance(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T) ci.Executor { return open(t, nil) })
}
