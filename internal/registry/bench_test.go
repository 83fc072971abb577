package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/registry"
	"drawbridge/internal/registry/registrytest"
)

func BenchmarkPush(b *testing.B) {
	c := registrytest.Serve(b, nil).Client(b, registrytest.Alice)
	content := strings.Repeat("eight megabytes of something like a binary ", 8<<20/43)
	i := 0
	for b.Loop() {
		push(b, c, web, fmt.Sprint(i, content))
		i++
	}
}

func BenchmarkTag(b *testing.B) {
	c := registrytest.Serve(b, nil).Client(b, registrytest.Alice)
	ref := push(b, c, web, "content")
	i := 0
	for b.Loop() {
		if err := c.Tag(b.Context(), ref, fmt.Sprintf("1.0.%d", i)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func attachN(b *testing.B, c *registry.Client, ref artifact.Reference, from, n int) {
	b.Helper()
	for i := range n {
		if _, err := c.Attach(b.Context(), ref, fmt.Appendf(nil, "%d %s", from+i, strings.Repeat("b", 3000)), predicate, created); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAttach(b *testing.B) {
	c := registrytest.Serve(b, nil).Client(b, registrytest.Alice)
	ref := push(b, c, web, "content")
	i := 0
	for b.Loop() {
		attachN(b, c, ref, i, 1)
		i++
	}
}

func BenchmarkListAndFetch12(b *testing.B) {
	s := registrytest.Serve(b, nil)
	warm := s.Client(b, registrytest.Alice)
	ref := push(b, warm, web, "content")
	attachN(b, warm, ref, 0, 12)
	read := func(c *registry.Client) {
		rs, err := c.List(b.Context(), ref)
		if err != nil || len(rs) != 12 {
			b.Fatalf("List = %d, %v", len(rs), err)
		}
		for _, r := range rs {
			if _, err := c.Fetch(b.Context(), ref, r); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			read(s.Client(b, registrytest.Bob))
		}
	})
	b.Run("cached", func(b *testing.B) {
		read(warm)
		for b.Loop() {
			read(warm)
		}
	})
}
