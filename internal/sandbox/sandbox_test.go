package sandbox_test

import (
	"os"
	"testing"

	"drawbridge/internal/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	os.Exit(m.Run())
}
