package ci_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/ci"
	"drawbridge/internal/fault"
)

// release is a workflow that tests, reports and publishes.
const release = `name: ci
on: push
jobs:
  test:
    runs-on: linux
    steps:
      - uses: actions/checkout@v4
      - run: printf 'mode:\x20set\nshop/a.go:1.1,2.2 3 1\nshop/a.go:3.1,4.2 1 0\n' > cover.out
      - uses: drawbridge/report@v1
        with: {tests: tests.json, coverage: cover.out, findings: vet.json}
  build:
    needs: test
    runs-on: linux
    outputs: {reference: '${{ steps.p.outputs.reference }}'}
    steps:
      - uses: actions/checkout@v4
      - run: mkdir dist && cp tool dist/web && echo "version=$(cat VERSION)" >> $GITHUB_OUTPUT
        id: v
      - id: p
        uses: drawbridge/publish@v1
        with:
          image: shop/web
          path: dist
          entrypoint: ./web -v
          env: "A=1"
          tags: ${{ steps.v.outputs.version }}, stable
`

func releaseFiles() map[string]string {
	return map[string]string{
		ciFile: release, "VERSION": "1.2.3\n", "tool": "#!/bin/sh\n", "vet.json": "# shop\n{}\n",
		"tests.json": `{"Action":"run","Package":"shop","Test":"TestA"}
{"Action":"pass","Package":"shop","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"shop","Elapsed":0}
`,
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, releaseFiles())
	w.push(t, "shop", mainRef)
	w.wantRun(t, 1, ci.RunSucceeded, "")

	digest, ok := w.registry.Tags["shop/web:1.2.3"]
	if !ok || w.registry.Tags["shop/web:stable"] != digest {
		t.Fatalf("tags = %v, want 1.2.3 and stable of one digest", w.registry.Tags)
	}
	if files := w.registry.Image(digest); files["web"] != "#!/bin/sh\n" || len(files) != 1 {
		t.Errorf("the image holds %v, want web alone", files)
	}
	if j, err := w.store.Job(t.Context(), 2); err != nil || j.Outputs["reference"] != "shop/web@"+digest.String() {
		t.Errorf("outputs of the job = %v, %v", j.Outputs, err)
	}
	w.wantEvidence(t, digest)
	w.wantOrder(t)
	w.wantEvents(t, digest)
}

// wantEvidence verifies what is attached as the bridge does.
func (w *world) wantEvidence(t *testing.T, digest artifact.Digest) {
	t.Helper()
	public, err := attest.MarshalPublic(w.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"signature", "provenance", "sbom", "tests", "coverage", "findings"}
	policy := attest.Policy{Signers: []attest.Signer{{Name: "ci", Key: string(public), Predicates: names}}}
	demand := attest.Demand{
		Signers: []string{"ci"}, Require: names, Repository: "shop", Refs: ci.DefaultProtected(), Image: artifact.Reference{Repository: "shop/web"},
	}
	var bundles [][]byte
	for _, b := range w.registry.Attached {
		bundles = append(bundles, b.Body)
	}
	e, refusals := attest.Verify(policy, demand, digest, bundles, now)
	if len(refusals) > 0 {
		t.Fatalf("the bridge would refuse: %+v", refusals)
	}
	if e.Tests.Passed != 1 || e.Tests.Observed || e.Coverage.Line != 0.75 || e.SBOM.Components == 0 {
		t.Errorf("evidence = %+v %+v %+v", e.Tests, e.Coverage, e.SBOM)
	}
	p := e.Provenance
	if p.Author != "alice" || p.Commit != commitA || p.Version != "1.2.3" || !p.Committed.Equal(now.Add(-3600e9)) || len(p.Attestations) != 5 || p.Run != "run/1" {
		t.Errorf("provenance = %+v", p)
	}
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, fmt.Sprintf("%s/%d", s.Job, s.Exit))
	}
	if got := strings.Join(steps, " "); got != "test/0 test/0 test/0 build/0 build/0 build/0" {
		t.Errorf("steps of the provenance = %s", got)
	}
}

// wantOrder checks that a tag is set only when every bundle is attached.
func (w *world) wantOrder(t *testing.T) {
	t.Helper()
	tagged := false
	for _, e := range w.registry.Effects {
		if strings.HasPrefix(e, "tag ") {
			tagged = true
		} else if tagged {
			t.Errorf("%q came after a tag: %q", e, w.registry.Effects)
		}
	}
}

func (w *world) wantEvents(t *testing.T, digest artifact.Digest) {
	t.Helper()
	var ids []string
	for _, body := range w.poster.Bodies {
		p, err := bridge.ParsePublished(body)
		if err != nil {
			t.Fatal(err)
		}
		if p.Artifact.Digest != digest || p.Source != "/ci" || p.Ref != mainRef || p.Commit != commitA || len(p.Chain) != 32 {
			t.Errorf("event = %+v", p)
		}
		ids = append(ids, p.ID+" "+p.Artifact.Tag)
	}
	if got := strings.Join(ids, ", "); got != "run/1/shop/web 1.2.3, run/1/shop/web:stable stable" {
		t.Errorf("events = %s", got)
	}
}

var errDied = errors.New("the server died")

// The server dies after the n-th effect of sealing, for each n, and seals again: one tag,
// one event, and the digests of a run without a death.
func TestSealDiesAnywhere(t *testing.T) {
	t.Parallel()
	calm := newWorld(t, releaseFiles())
	calm.push(t, "shop", mainRef)
	calm.wantRun(t, 1, ci.RunSucceeded, "")
	for n := 1; ; n++ {
		w := newWorld(t, releaseFiles(), func(c *ci.Config) { c.Key = calm.key })
		w.key = calm.key
		effects, deaths := 0, 0
		die := func() error {
			if effects++; effects == n {
				deaths++
				return errDied
			}
			return nil
		}
		if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
			t.Fatal(err)
		}
		for task, ok := w.store.TakeTask(); ok; task, ok = w.store.TakeTask() {
			if task.Name == ci.TaskSeal || task.Name == ci.TaskPost && task.ID > 1 { // 1 tells of the push
				w.registry.After = func(string) error { return die() }
				w.store.After = func(ci.Change) error { return die() }
			}
			if err := w.perform(t.Context(), task); err != nil {
				if !errors.Is(err, errDied) {
					t.Fatalf("death %d: %s: %v", n, task.Name, err)
				}
				w.store.PutTask(task)
			}
		}
		w.wantRun(t, 1, ci.RunSucceeded, "")
		digest := w.registry.Tags["shop/web:1.2.3"]
		if len(w.registry.Tags) != 2 || digest != calm.registry.Tags["shop/web:1.2.3"] {
			t.Errorf("death %d: tags %v, want %v", n, w.registry.Tags, calm.registry.Tags)
		}
		if len(w.registry.Attached) != 6 || len(w.poster.Bodies) != 2 {
			t.Errorf("death %d: %d bundles and %d events, want 6 and 2", n, len(w.registry.Attached), len(w.poster.Bodies))
		}
		w.wantEvidence(t, digest)
		w.wantOrder(t)
		if deaths == 0 {
			if n < 10 {
				t.Errorf("sealing has only %d effects", n-1)
			}
			return
		}
	}
}

const publishStep = "- run: mkdir d; echo ${{ github.repository }} > d/f\n- uses: drawbridge/publish@v1\n  with: {image: \"%s\", path: %s, tags: \"%s\"}"

func TestPublishRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ repository, ref, image, path, tags, reason string }{
		"another's image": {"evil", mainRef, "shop/web", "d", "1", "repository evil may not publish shop/web: only images under evil/"},
		"its own name":    {"evil", mainRef, "evil", "d", "1", "only images under evil/"},
		"a prefix":        {"evil", mainRef, "evil2/web", "d", "1", "only images under evil/"},
		"another host":    {"shop", mainRef, "${{ 'registry.example.com/shop/web' }}", "d", "1", "only to this server's registry"},
		"a branch":        {"shop", "refs/heads/feature", "shop/web", "d", "1", "only protected refs of shop may"},
		"a taken tag":     {"shop", mainRef, "shop/web", "d", "taken", "tag taken of shop/web names sha256:"},
		"no directory":    {"shop", mainRef, "shop/web", "nowhere", "1", "there is no nowhere"},
		"no tag":          {"shop", mainRef, "shop/web", "d", "${{ '' }}", "1 to 20 tags"},
		"a bad tag":       {"shop", mainRef, "shop/web", "d", "${{ '../x' }}", "cannot be a tag"},
		"a referrers tag": {"shop", mainRef, "shop/web", "d", "${{ 'sha256-abc' }}", "cannot be a tag"},
		"a tagged image":  {"shop", mainRef, "${{ 'shop/web:1' }}", "d", "1", "must name a repository alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.registry.Tags["shop/web:taken"] = artifact.DigestOf([]byte("other"))
			w.repository(t, "evil", nil)
			w.source.Repositories[tt.repository][commitA] = oneJob(fmt.Sprintf(publishStep, tt.image, tt.path, tt.tags))
			w.push(t, tt.repository, tt.ref)
			w.wantRun(t, 1, ci.RunFailed, tt.reason)
			if len(w.registry.Attached) > 0 || len(w.registry.Tags) != 1 || len(w.poster.Bodies) > 0 {
				t.Errorf("something crossed: %d bundles, tags %v, %d events", len(w.registry.Attached), w.registry.Tags, len(w.poster.Bodies))
			}
		})
	}
}

// Between publish and sealing somebody takes the tag, or the ref loses its protection:
// sealing asks again before it signs.
func TestSealAsksAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, releaseFiles())
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
		t.Fatal(err)
	}
	for task, ok := w.store.TakeTask(); ok; task, ok = w.store.TakeTask() {
		if task.Name == ci.TaskSeal {
			w.registry.Tags["shop/web:1.2.3"] = artifact.DigestOf([]byte("other"))
		}
		if err := w.perform(t.Context(), task); err != nil {
			t.Fatal(err)
		}
	}
	w.wantRun(t, 1, ci.RunFailed, "tags do not move")
	if bundles, err := w.store.Bundles(t.Context(), 1); err != nil || len(bundles) > 0 || len(w.registry.Attached) > 0 {
		t.Errorf("%d bundles were signed, %v, want none", len(bundles), err)
	}
}

// A run with a failing job leaves an object that nobody named and nobody signed.
func TestFailedRunIsNotSealed(t *testing.T) {
	t.Parallel()
	files := releaseFiles()
	files[ciFile] += "  last:\n    needs: build\n    runs-on: linux\n    steps: [{run: exit 1}]\n"
	w := newWorld(t, files)
	w.push(t, "shop", mainRef)
	w.wantRun(t, 1, ci.RunFailed, "job last failed")
	if len(w.registry.Effects) != 1 || len(w.registry.Tags) > 0 || len(w.poster.Bodies) > 0 {
		t.Errorf("effects = %v, want the push by digest alone", w.registry.Effects)
	}
}

func TestReportRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ with, reason string }{
		"missing":   {"{tests: nowhere.json}", "there is no nowhere.json"},
		"malformed": {"{tests: bad.json}", "bad.json:1"},
		"empty":     {"{coverage: empty}", "the report is empty"},
		"directory": {"{tests: .}", "is no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := oneJob("- uses: actions/checkout@v4\n- run: touch empty\n- uses: drawbridge/report@v1\n  with: " + tt.with)
			files["bad.json"] = "{\"Action\":\n"
			w := newWorld(t, files)
			w.push(t, "shop", mainRef)
			w.wantRun(t, 1, ci.RunFailed, tt.reason)
		})
	}
}

func TestPostStaysUntilAcknowledged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, releaseFiles())
	w.poster.Err = fault.New(fault.Unavailable, "the bridge is away")
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
		t.Fatal(err)
	}
	for task, ok := w.store.TakeTask(); ok; task, ok = w.store.TakeTask() {
		if err := w.perform(t.Context(), task); task.Name == ci.TaskPost {
			wantKind(t, "Post", err, fault.Unavailable)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	w.wantRun(t, 1, ci.RunSucceeded, "")
	w.poster.Err = nil
	late := newSweeper(t, w)
	if err := late.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.drain(t)
	if err := w.Post(t.Context(), 1); err != nil {
		t.Errorf("Post of what was posted = %v, want nil", err)
	}
	if len(w.poster.Bodies) != 2 {
		t.Errorf("%d events posted, want 2", len(w.poster.Bodies))
	}
}

// What an attempt published that died does not count, though it named the same tag.
func TestDeadAttemptDoesNotCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oneJob(`- run: mkdir d; echo x >> $GOCACHE-n; cp $GOCACHE-n d/f
- uses: drawbridge/publish@v1
  with: {image: shop/web, path: d, tags: '1'}
- run: 'true'`))
	ctx, die := context.WithCancel(t.Context())
	w.store.After = func(c ci.Change) error {
		if len(c.Publications) > 0 {
			w.store.After = nil
			die()
		}
		return nil
	}
	if err := w.Sync(t.Context(), "shop", []ci.RefChange{pushed(mainRef)}); err != nil {
		t.Fatal(err)
	}
	for task, ok := w.store.TakeTask(); ok; task, ok = w.store.TakeTask() {
		if err := w.perform(ctx, task); errors.Is(err, context.Canceled) {
			ctx = t.Context()
			w.store.PutTask(task)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	w.wantRun(t, 1, ci.RunSucceeded, "")
	published, _, err := w.store.Published(t.Context(), 1)
	if err != nil || len(published) != 2 || published[0].Digest == published[1].Digest {
		t.Fatalf("publications = %+v, %v, want two that differ", published, err)
	}
	if got := w.registry.Tags["shop/web:1"]; got != published[1].Digest || len(w.registry.Attached) != 3 {
		t.Errorf("the tag names %s with %d bundles, want the second attempt's %s with 3", got, len(w.registry.Attached), published[1].Digest)
	}
}
