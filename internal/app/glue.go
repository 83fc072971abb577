package app

import (
	"context"
	"io"

	"drawbridge/internal/artifact"
	"drawbridge/internal/ci"
	"drawbridge/internal/registry"
	"drawbridge/internal/sandbox"
	"drawbridge/internal/target/process"
)

// publisher is ci.Publisher over the registry client.
type publisher struct{ client *registry.Client }

// Push is ci.Publisher's.
func (p publisher) Push(ctx context.Context, name artifact.Reference, content io.Reader, image ci.Image) (artifact.Digest, error) {
	return p.client.Push(ctx, name, content, registry.ImageConfig{Entrypoint: image.Entrypoint, Env: image.Env, Labels: image.Labels}, registry.Limits{})
}

// Attach is ci.Publisher's.
func (p publisher) Attach(ctx context.Context, b ci.Bundle) error {
	_, err := p.client.Attach(ctx, b.Artifact, b.Body, b.Predicate, b.At)
	return err
}

// Tag is ci.Publisher's.
func (p publisher) Tag(ctx context.Context, ref artifact.Reference, tag string) error {
	return p.client.Tag(ctx, ref, tag)
}

// launcher is process.Launcher over the sandbox.
type launcher struct{ sandbox *sandbox.Sandbox }

// Start is process.Launcher's.
func (l launcher) Start(ctx context.Context, spec process.LaunchSpec) (process.Instance, error) {
	return l.sandbox.Start(ctx, sandbox.ProcessSpec{
		ID: spec.ID, Root: spec.Root, Command: spec.Command, Env: spec.Env, Dir: spec.Dir,
		HostTools: true, Stdout: spec.Stdout, Stderr: spec.Stderr,
	})
}
