package citest_test

import (
	"testing"

	"drawbridge/internal/ci"
	"drawbridge/internal/ci/citest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	citest.Store(t, func(*testing.T) ci.Store { return &citest.Memory{} })
}
