package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
	"drawbridge/internal/packages"
	"drawbridge/internal/registry"
)

// sources reads this server's own repositories by their names and all others by their
// addresses. It implements bridge.Sources.
type sources struct {
	own    bridge.Sources // nil where this server has no CI plane
	others bridge.Sources
}

func (s sources) of(repository string) (bridge.Sources, error) {
	if strings.Contains(repository, "://") {
		return s.others, nil
	}
	if s.own == nil {
		return nil, fault.New(fault.NotFound, "this server hosts no repository %q", repository).WithHint("write its whole address: https://HOST/PATH")
	}
	return s.own, nil
}

// Refs is bridge.Sources'.
func (s sources) Refs(ctx context.Context, repository string) (map[string]string, error) {
	of, err := s.of(repository)
	if err != nil {
		return nil, err
	}
	return of.Refs(ctx, repository)
}

// Commit is bridge.Sources'.
func (s sources) Commit(ctx context.Context, repository, commit string) (bridge.Commit, error) {
	of, err := s.of(repository)
	if err != nil {
		return bridge.Commit{}, err
	}
	return of.Commit(ctx, repository, commit)
}

// Files is bridge.Sources'.
func (s sources) Files(ctx context.Context, repository, commit, dir string) (map[string][]byte, error) {
	of, err := s.of(repository)
	if err != nil {
		return nil, err
	}
	return of.Files(ctx, repository, commit, dir)
}

// Ancestor is bridge.Sources'.
func (s sources) Ancestor(ctx context.Context, repository, before, after string) (bool, error) {
	of, err := s.of(repository)
	if err != nil {
		return false, err
	}
	return of.Ancestor(ctx, repository, before, after)
}

// wrapper fetches files of releases and packages and wraps them as artifacts. It implements
// bridge.Packages.
type wrapper struct {
	fetcher *packages.Fetcher
	images  *registry.Client
	temp    string
}

// Wrap is bridge.Packages'.
func (w wrapper) Wrap(ctx context.Context, rule bridge.ArtifactRule, version string) (bridge.Wrapped, error) {
	files, err := w.fetcher.Find(ctx, spec(*rule.Package, version), version)
	if err != nil {
		return bridge.Wrapped{}, err
	}
	if len(files) != 1 {
		return bridge.Wrapped{}, fault.New(fault.Blocked, "version %s of %s has %d files like %q, want one", version, rule.Package.Name, len(files), rule.Package.File)
	}
	dir, err := os.MkdirTemp(w.temp, "package-")
	if err != nil {
		return bridge.Wrapped{}, fmt.Errorf("fetch %s: %w", files[0].Name, err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the directory is emptied at each start
	path, digest, err := w.fetcher.Fetch(ctx, files[0], dir)
	if err != nil {
		return bridge.Wrapped{}, err
	}
	bundles, err := w.fetcher.Bundles(ctx, files[0], digest)
	if err != nil {
		return bridge.Wrapped{}, err
	}
	manifest, err := w.push(ctx, rule.Image, files[0].Name, path, bundles)
	return bridge.Wrapped{Digest: manifest, File: digest, Name: files[0].Name}, err
}

func (w wrapper) push(ctx context.Context, into artifact.Reference, name, path string, bundles [][]byte) (artifact.Digest, error) {
	f, err := os.Open(path) //nolint:gosec // the fetcher made it
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("read %s: %w", name, err)
	}
	return w.images.Wrap(ctx, into, registry.PackageFile{Name: name, Content: io.NewSectionReader(f, 0, info.Size()), Bundles: bundles})
}

// spec is a rule as the fetcher reads it, for one version: in a file's pattern {tag} stands
// for the version as it is written, {version} for it without a leading v.
func spec(p bridge.PackageRule, version string) packages.Spec {
	p.File = strings.NewReplacer("{tag}", version, "{version}", strings.TrimPrefix(version, "v")).Replace(p.File)
	out := packages.Spec{Kind: packages.Kind(p.Kind), URL: p.URL, Name: p.Name}
	switch out.Kind {
	case packages.Maven:
		out.Extension = p.File
		if classifier, extension, ok := strings.Cut(p.File, ":"); ok {
			out.Classifier, out.Extension = classifier, extension
		}
	case packages.GitHub, packages.Gitea, packages.GitLab:
		out.Files = []string{p.File}
	case packages.NPM:
	}
	return out
}
