package registrytest

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
)

// Backend is an implementation of registry.Rows under test, with a look at what it told
// the bridge.
type Backend struct {
	Rows registry.Rows
	// Events returns "repository:tag@digest" for every event that was committed, in order.
	Events func(t *testing.T) []string
}

// Rows runs the suite that every implementation of registry.Rows passes; open gives an
// empty one each time.
func Rows(t *testing.T, open func(t *testing.T) Backend) {
	for name, test := range map[string]func(*testing.T, Backend){
		"tags do not move":            tagsDoNotMove,
		"a repeated tag is told once": repeatedTagOnce,
		"an unreported tag stays so":  unreportedStays,
		"racing tags: one wins":       racingTags,
		"referrers are paged":         referrersPaged,
		"referrers keep all fields":   referrersComplete,
		"racing referrers all stay":   racingReferrers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

var at = time.Date(2030, 1, 2, 3, 4, 5, 6_000_000, time.UTC)

func digest(i int) artifact.Digest { return artifact.DigestOf(fmt.Appendf(nil, "manifest %d", i)) }

func tag(repository, name string, i int) registry.Tag {
	return registry.Tag{
		Repository: repository, Name: name, Digest: digest(i),
		MediaType:    "application/vnd.oci.image.manifest.v1+json",
		ArtifactType: "application/vnd.oci.image.config.v1+json",
		Actor:        "alice", Report: true, At: at,
	}
}

func event(t registry.Tag) string { return t.Repository + ":" + t.Name + "@" + t.Digest.String() }

func write(t *testing.T, b Backend, tags ...registry.Tag) {
	t.Helper()
	for _, tag := range tags {
		if err := b.Rows.WriteTag(t.Context(), tag); err != nil {
			t.Fatalf("WriteTag(%s) = %v, want nil", event(tag), err)
		}
	}
}

func wantEvents(t *testing.T, b Backend, want ...registry.Tag) {
	t.Helper()
	var names []string
	for _, w := range want {
		names = append(names, event(w))
	}
	if diff := cmp.Diff(names, b.Events(t)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func tagsDoNotMove(t *testing.T, b Backend) {
	first := tag("shop/web", "1.0.0", 1)
	write(t, b, first)
	err := b.Rows.WriteTag(t.Context(), tag("shop/web", "1.0.0", 2))
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("WriteTag with another digest = %v, want a fault of kind conflict", err)
	}
	other, elsewhere := tag("shop/web", "1.0.1", 2), tag("shop/api", "1.0.0", 2)
	write(t, b, other, elsewhere, first)
	wantEvents(t, b, first, other, elsewhere)
}

func repeatedTagOnce(t *testing.T, b Backend) {
	first := tag("shop/web", "1.0.0", 1)
	again := first
	again.Actor, again.At = "bob", at.Add(time.Hour)
	write(t, b, first, again, first)
	wantEvents(t, b, first)
}

func unreportedStays(t *testing.T, b Backend) {
	silent := tag("shop/web", "1.0.0", 1)
	silent.Report = false
	loud := silent
	loud.Report = true
	write(t, b, silent, loud)
	wantEvents(t, b)
}

func racingTags(t *testing.T, b Backend) {
	const n = 8
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = b.Rows.WriteTag(t.Context(), tag("shop/web", "1.0.0", i)) })
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Errorf("writes %d and %d both won", winner, i)
		case err == nil:
			winner = i
		case !fault.Is(err, fault.Conflict):
			t.Errorf("write %d = %v, want nil or a fault of kind conflict", i, err)
		}
	}
	if winner < 0 {
		t.Fatal("no write won")
	}
	wantEvents(t, b, tag("shop/web", "1.0.0", winner))
}

func referrer(subject, i int, artifactType string) registry.Referrer {
	return registry.Referrer{
		Repository: "shop/web", Subject: digest(subject), Manifest: digest(1000 + i),
		ArtifactType: artifactType, MediaType: "application/vnd.oci.image.manifest.v1+json", Size: int64(500 + i),
	}
}

func add(t *testing.T, b Backend, rs ...registry.Referrer) {
	t.Helper()
	for _, r := range rs {
		if err := b.Rows.AddReferrer(t.Context(), r); err != nil {
			t.Fatalf("AddReferrer(%s) = %v, want nil", r.Manifest, err)
		}
	}
}

func list(t *testing.T, b Backend, q registry.ReferrerQuery) []registry.Referrer {
	t.Helper()
	got, err := b.Rows.Referrers(t.Context(), q)
	if err != nil {
		t.Fatalf("Referrers(%+v) = %v, want nil", q, err)
	}
	return got
}

func referrersPaged(t *testing.T, b Backend) {
	var want []artifact.Digest
	for i := range 25 {
		add(t, b, referrer(1, i, "bundle"), referrer(1, 100+i, "other"), referrer(2, 200+i, "bundle"))
		want = append(want, referrer(1, i, "").Manifest)
	}
	add(t, b, referrer(1, 3, "bundle"))
	slices.SortFunc(want, func(a, b artifact.Digest) int {
		if a.Hex() < b.Hex() {
			return -1
		}
		return 1
	})
	q := registry.ReferrerQuery{Repository: "shop/web", Subject: digest(1), ArtifactType: "bundle", Limit: 10}
	var got []artifact.Digest
	for range 5 {
		page := list(t, b, q)
		if len(page) > q.Limit {
			t.Fatalf("a page of %d referrers, want at most %d", len(page), q.Limit)
		}
		for _, r := range page {
			got = append(got, r.Manifest)
			q.After = r.Manifest
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("paging gave %d referrers %v, want %d %v", len(got), got, len(want), want)
	}
	q = registry.ReferrerQuery{Repository: "shop/web", Subject: digest(1), Limit: 100}
	if n := len(list(t, b, q)); n != 50 {
		t.Errorf("without a type: %d referrers, want 50", n)
	}
	q.Repository = "shop/api"
	if n := len(list(t, b, q)); n != 0 {
		t.Errorf("in another repository: %d referrers, want 0", n)
	}
}

func referrersComplete(t *testing.T, b Backend) {
	want := referrer(1, 1, "application/vnd.dev.sigstore.bundle.v0.3+json")
	want.Annotations = map[string]string{"dev.sigstore.bundle.content": "dsse-envelope", "müßig \"'\\": "€\n"}
	add(t, b, want)
	got := list(t, b, registry.ReferrerQuery{Repository: "shop/web", Subject: digest(1), Limit: 10})
	if diff := cmp.Diff([]registry.Referrer{want}, got, cmp.Comparer(func(a, b artifact.Digest) bool { return a == b })); diff != "" {
		t.Errorf("referrers (-want +got):\n%s", diff)
	}
}

func racingReferrers(t *testing.T, b Backend) {
	const n = 12
	var wg sync.WaitGroup
	for i := range 2 * n {
		wg.Go(func() {
			if err := b.Rows.AddReferrer(t.Context(), referrer(1, i%n, "bundle")); err != nil {
				t.Errorf("AddReferrer = %v, want nil", err)
			}
		})
	}
	wg.Wait()
	q := registry.ReferrerQuery{Repository: "shop/web", Subject: digest(1), Limit: 100}
	if got := len(list(t, b, q)); got != n {
		t.Errorf("%d referrers after the race, want %d", got, n)
	}
}
