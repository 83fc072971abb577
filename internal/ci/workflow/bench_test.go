package workflow_test

import (
	"testing"

	"drawbridge/internal/ci/workflow"
)

func BenchmarkParse(b *testing.B) {
	src := good(b)
	for b.Loop() {
		if _, err := workflow.Parse("w.yml", src); err != nil {
			b.Fatal(err)
		}
	}
}
