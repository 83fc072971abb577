package process_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/cd"
	"drawbridge/internal/target/process"
	"drawbridge/internal/target/targettest"
)

func TestMain(m *testing.M) {
	targettest.Init()
	os.Exit(m.Run())
}

// bench is a process target with what it works on.
type bench struct {
	target   *process.Target
	config   process.Config
	images   *targettest.Images
	launcher *targettest.Launcher
}

func newBench(t testing.TB, change ...func(*process.Config)) *bench {
	t.Helper()
	b := &bench{images: &targettest.Images{}, launcher: &targettest.Launcher{}}
	b.config = process.Config{
		Dir: t.TempDir(), Images: b.images, Launcher: b.launcher,
		StartTimeout: time.Minute, DrainTimeout: time.Minute, StopGrace: 20 * time.Second,
	}
	for _, c := range change {
		c(&b.config)
	}
	b.open(t)
	return b
}

func (b *bench) open(t testing.TB) {
	t.Helper()
	target, err := process.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	b.target = target
	t.Cleanup(func() {
		if err := target.Close(context.Background()); err != nil {
			t.Errorf("Close gave the error %v", err)
		}
		if n := b.launcher.Live(); n != 0 {
			t.Errorf("%d instances outlived the target", n)
		}
	})
}

func (b *bench) harness(t *testing.T) targettest.Harness {
	return targettest.Harness{
		Target: b.target,
		Restart: func() cd.Target {
			if err := b.target.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.open(t)
			return b.target
		},
		Image: func(name string, behaviour targettest.Behaviour) artifact.Reference {
			return b.images.Service(t, name, behaviour)
		},
		Live: b.launcher.Live,
	}
}

// sick versions never become healthy: the suite should not wait long for that.
func impatient(c *process.Config) { c.StartTimeout = 10 * time.Second }

func TestConformance(t *testing.T) {
	targettest.Run(t, func(t *testing.T) targettest.Harness { return newBench(t, impatient).harness(t) })
}

func TestNewRemovesWhatACrashLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, "unpacked", "sha256-00.tmp", "root")
	if err := os.MkdirAll(left, 0o750); err != nil {
		t.Fatal(err)
	}
	newBench(t, func(c *process.Config) { c.Dir = dir })
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("an unfinished image is still there: %v", err)
	}
}
