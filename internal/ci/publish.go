package ci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/ci/sbom"
	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// Limits of one publication.
const (
	MaxPublished = 2 << 30 // bytes of the tar stream that a job may publish
	MaxTags      = 20      // tags of one artifact
)

// mayPublish returns a fault of kind Refused unless a run for ref in repo may publish to
// image. It is asked before anything is pushed, and again before anything is signed.
func mayPublish(repo Repository, ref string, image artifact.Reference) error {
	switch {
	case image.Host != "":
		return fault.New(fault.Refused, "repository %s may not publish to %s: only to this server's registry", repo.Name, image.Host).
			WithHint("write the image without a host: %s/%s", repo.Name, image.Repository)
	case image.Owner() != repo.Name || image.Repository == repo.Name:
		return fault.New(fault.Refused, "repository %s may not publish %s: only images under %s/", repo.Name, image.Name(), repo.Name).
			WithHint("name the image %s/NAME", repo.Name)
	case !repo.Protects(ref):
		return fault.New(fault.Refused, "%s may not publish: only protected refs of %s may (%s)", ref, repo.Name, strings.Join(repo.Protected, ", ")).
			WithHint("put if: github.ref == '%s' on the step, or push to a protected ref", repo.firstProtected())
	}
	return nil
}

func (r Repository) firstProtected() string {
	if len(r.Protected) == 0 {
		return "refs/heads/main"
	}
	return r.Protected[0]
}

// tagFree returns a fault of kind Conflict when tag names another digest of image already.
func tagFree(ctx context.Context, r Resolver, image artifact.Reference, digest artifact.Digest, tag string) error {
	got, err := r.Resolve(ctx, image.WithTag(tag))
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case got != digest:
		return tagTaken(image, tag, got)
	}
	return nil
}

func tagTaken(image artifact.Reference, tag string, got artifact.Digest) error {
	return fault.New(fault.Conflict, "tag %s of %s names sha256:%s already; tags do not move", tag, image.Name(), got.Short()).
		WithHint("choose a new version")
}

// publishInputs are the evaluated inputs of a publish step.
type publishInputs struct {
	image artifact.Reference
	path  string
	tags  []string
	how   Image
}

func (a *attempt) publishInputs(def *workflow.Step) (publishInputs, error) {
	with, err := workflow.EvalAll(def.With, a.context())
	if err != nil {
		return publishInputs{}, err
	}
	in := publishInputs{path: with["path"], tags: words(with["tags"])}
	if in.image, err = artifact.ParseReference(with["image"]); err != nil {
		return in, err
	}
	if in.image.Tag != "" || !in.image.Digest.IsZero() {
		return in, fault.New(fault.Invalid, "image %s must name a repository alone", in.image).WithHint("put the tag into tags")
	}
	if len(in.tags) == 0 || len(in.tags) > MaxTags {
		return in, fault.New(fault.Invalid, "tags must name 1 to %d tags, not %d", MaxTags, len(in.tags)).
			WithHint("write tags: 1.2.3, or an expression that gives the version")
	}
	for _, t := range in.tags {
		if !artifact.ValidTag(t) || strings.HasPrefix(t, "sha256-") {
			return in, fault.New(fault.Invalid, "%q cannot be a tag", t).WithHint("use letters, digits, '.', '_' and '-', for example 1.2.3")
		}
	}
	if in.how, err = imageOf(with); err != nil {
		return in, err
	}
	// Two commits never share an artifact: each has one provenance, of one commit.
	in.how.Labels = map[string]string{
		"org.opencontainers.image.source":   a.runs.Repository,
		"org.opencontainers.image.revision": a.runs.Commit,
	}
	return in, nil
}

// words splits at commas and white space, without repetitions.
func words(text string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' || r == '\r' }) {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// imageOf reads entrypoint, words or a JSON list, and env, a line NAME=VALUE each.
func imageOf(with map[string]string) (Image, error) {
	var i Image
	if text := strings.TrimSpace(with["entrypoint"]); strings.HasPrefix(text, "[") {
		if err := json.Unmarshal([]byte(text), &i.Entrypoint); err != nil {
			return i, fault.New(fault.Invalid, "entrypoint is no JSON list of strings: %v", err)
		}
	} else {
		i.Entrypoint = strings.Fields(text)
	}
	for line := range strings.Lines(with["env"]) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if name, _, ok := strings.Cut(line, "="); !ok || name == "" {
			return i, fault.New(fault.Invalid, "env: %q is not NAME=VALUE", clip(line))
		}
		i.Env = append(i.Env, line)
	}
	slices.Sort(i.Env)
	return i, nil
}

// publish performs drawbridge/publish: it pushes one directory as an image by digest and
// remembers it for sealing.
func (a *attempt) publish(ctx context.Context, def *workflow.Step) (stepEnd, error) {
	in, err := a.publishInputs(def)
	if err != nil {
		return failedBy(err)
	}
	if err := mayPublish(a.repo, a.runs.Ref, in.image); err != nil {
		return failedBy(err)
	}
	p, err := a.push(ctx, in)
	if err != nil {
		return failedBy(err)
	}
	if err := a.agree(ctx, p); err != nil {
		return failedBy(err)
	}
	if err := a.s.Store.Save(ctx, Change{Publications: []Publication{p}}); err != nil {
		return stepEnd{}, fmt.Errorf("save a publication: %w", err)
	}
	ref := in.image.WithDigest(p.Digest).String()
	a.log.notice("notice", "pushed %s; tags %s are set when the whole run has succeeded", ref, strings.Join(p.Tags, ", "))
	return stepEnd{state: StepSucceeded, outputs: map[string]string{"digest": p.Digest.String(), "reference": ref}}, nil
}

// push reads the directory once, for the image and for the bill of materials.
func (a *attempt) push(ctx context.Context, in publishInputs) (p Publication, err error) {
	stream, err := a.open.GetFile(ctx, in.path)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	limited := &limitReader{r: stream, left: MaxPublished}
	var digest artifact.Digest
	var bom []byte
	err = tee(limited, func(r io.Reader) error {
		digest, err = a.s.Publisher.Push(ctx, in.image, r, in.how)
		return err
	}, func(r io.Reader) error {
		var err error
		bom, err = sbom.FromTar(sbom.Subject{Name: in.image.Name(), Version: in.tags[0]}, r)
		return err
	})
	if err != nil {
		return p, err
	}
	return Publication{
		Run: a.runs.ID, Job: a.job.ID, Attempt: a.job.Attempt, Image: in.image, Digest: digest,
		Tags: in.tags, SBOM: bom, At: millis(a.s.Now()),
	}, nil
}

// agree checks that no tag of p is taken, in the registry or by another artifact of this run.
func (a *attempt) agree(ctx context.Context, p Publication) error {
	before, _, err := a.s.Store.Published(ctx, a.runs.ID)
	if err != nil {
		return err
	}
	for _, tag := range p.Tags {
		if err := tagFree(ctx, a.s.Resolver, p.Image, p.Digest, tag); err != nil {
			return err
		}
		for _, b := range before {
			if b.Image == p.Image && b.Digest != p.Digest && slices.Contains(b.Tags, tag) && (b.Job != p.Job || b.Attempt == p.Attempt) {
				return tagTaken(p.Image, tag, b.Digest)
			}
		}
	}
	return nil
}

// limitReader gives a fault of kind TooLarge instead of more than left bytes.
type limitReader struct {
	r    io.Reader
	left int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fault.New(fault.TooLarge, "what is published has more than %d bytes", int64(MaxPublished))
	}
	return n, err
}

// tee lets two readers read r at once; each may stop early. It returns when both are
// done: the first one's error, else the second one's.
func tee(r io.Reader, first, second func(io.Reader) error) error {
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := second(pr)
		_, _ = io.Copy(io.Discard, pr) // the first must not wait for a reader that has gone
		done <- err
	}()
	both := io.TeeReader(r, pw)
	err := first(both)
	if err == nil {
		_, err = io.Copy(io.Discard, both)
	}
	_ = pw.CloseWithError(err) // never fails; nil means the end
	if second := <-done; err == nil {
		err = second // otherwise it only says that the first has failed
	}
	return err
}
