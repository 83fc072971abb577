package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

// Limits of what describes an image.
const (
	maxManifest = 4 << 20 // bytes
	maxLayers   = 200
)

// image is an unpacked image.
type image struct {
	Root       string   `json:"-"` // absolute host path
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"`
	WorkingDir string   `json:"workingDir,omitempty"` // absolute path in Root
}

// command is the program with its arguments and the working directory. A relative program
// of the delivery is relative to the image's root, one of the image to its working
// directory; a bare name that is no file there is left to PATH.
func (i *image) command(asked []string) (command []string, dir string, err error) {
	dir = path.Join("/", i.WorkingDir)
	base := "/"
	command = asked
	if len(command) == 0 {
		base = dir
		command = append(append([]string{}, i.Entrypoint...), i.Cmd...)
	}
	if len(command) == 0 || command[0] == "" {
		return nil, "", fault.New(fault.Invalid, "the image names no entrypoint and the delivery no command").
			WithField("spec.process.command").WithHint("set target.process.command in the delivery file, for example [./web]")
	}
	command = append([]string{}, command...)
	program := command[0]
	switch {
	case path.IsAbs(program):
	case strings.Contains(program, "/"), i.has(path.Join(base, program)):
		command[0] = path.Join(base, program)
	}
	return command, dir, nil
}

// has reports whether there is something at the absolute path p of the image.
func (i *image) has(p string) bool {
	_, err := os.Lstat(filepath.Join(i.Root, filepath.FromSlash(path.Clean(p))))
	return err == nil
}

// descriptor points to a blob or a manifest.
type descriptor struct {
	MediaType string          `json:"mediaType"`
	Digest    artifact.Digest `json:"digest"`
	Size      int64           `json:"size"`
	Platform  *platform       `json:"platform"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
}

// fits reports whether this machine runs programs of p; an unnamed platform is believed.
func (p platform) fits() bool {
	return (p.OS == "" || p.OS == "linux") && (p.Architecture == "" || p.Architecture == runtime.GOARCH)
}

// manifest is an OCI manifest or index, or Docker's form of either.
type manifest struct {
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

// imageConfig is the part of an image's config that is used.
type imageConfig struct {
	platform
	Config struct {
		Entrypoint []string
		Cmd        []string
		Env        []string
		WorkingDir string
	} `json:"config"`
}

// source reads one image and checks all of it by digest.
type source struct {
	images Images
	ref    artifact.Reference
}

// manifest reads the image's manifest; of an index the one for this machine.
func (s *source) manifest(ctx context.Context) (manifest, error) {
	m, err := s.read(ctx)
	if err != nil || len(m.Manifests) == 0 {
		return m, err
	}
	for _, d := range m.Manifests {
		if p := d.Platform; p != nil && p.OS == "linux" && p.Architecture == runtime.GOARCH {
			s.ref = s.ref.WithDigest(d.Digest)
			m, err = s.read(ctx)
			if err == nil && len(m.Manifests) > 0 {
				err = s.refused("an index lists another index")
			}
			return m, err
		}
	}
	return m, s.refused("it lists nothing for linux/%s", runtime.GOARCH).WithHint("build the image for linux/%s too", runtime.GOARCH)
}

func (s *source) read(ctx context.Context) (manifest, error) {
	var m manifest
	body, _, err := s.images.Manifest(ctx, s.ref)
	switch {
	case err != nil:
		return m, fmt.Errorf("read the manifest of %s: %w", s.ref, err)
	case len(body) > maxManifest:
		return m, s.refused("its manifest is larger than %d bytes", maxManifest)
	case artifact.DigestOf(body) != s.ref.Digest:
		return m, s.refused("the registry's manifest does not have the digest that names it")
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, s.refused("its manifest is malformed: %v", err)
	}
	if len(m.Layers) > maxLayers {
		return m, s.refused("it has %d layers, more than %d", len(m.Layers), maxLayers)
	}
	return m, nil
}

// config reads the image's config.
func (s *source) config(ctx context.Context, d descriptor) (imageConfig, error) {
	var c imageConfig
	if d.Size < 0 || d.Size > maxManifest {
		return c, s.refused("its config is larger than %d bytes", maxManifest)
	}
	var body []byte
	err := s.blob(ctx, d, func(r io.Reader) (err error) {
		body, err = io.ReadAll(r)
		return err
	})
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, s.refused("its config is malformed: %v", err)
	}
	if !c.fits() {
		return c, s.refused("it is for %s/%s", c.OS, c.Architecture).WithHint("this machine runs linux/%s", runtime.GOARCH)
	}
	return c, nil
}

// blob lets read consume the blob d and checks size and digest of all of it afterwards:
// what read made of it counts only when blob gives no error.
func (s *source) blob(ctx context.Context, d descriptor, read func(io.Reader) error) error {
	if d.Digest.IsZero() || d.Size < 0 {
		return s.refused("its manifest names a blob without digest or size")
	}
	rc, err := s.images.Blob(ctx, s.ref, d.Digest)
	if err != nil {
		return fmt.Errorf("read blob %s of %s: %w", d.Digest.Short(), s.ref, err)
	}
	defer func() { _ = rc.Close() }() // nothing was written
	sum, counted := newSum(), &countingReader{r: io.LimitReader(rc, d.Size+1)}
	whole := io.TeeReader(counted, sum)
	if err := read(whole); err != nil {
		if counted.err != nil { // the registry's fault, not the image's
			return fmt.Errorf("read blob %s of %s: %w", d.Digest.Short(), s.ref, counted.err)
		}
		return err
	}
	if _, err := io.Copy(io.Discard, whole); err != nil {
		return fmt.Errorf("read blob %s of %s: %w", d.Digest.Short(), s.ref, err)
	}
	if counted.n != d.Size || sum.digest() != d.Digest.String() {
		return s.refused("the registry's blob %s does not have the digest that names it", d.Digest.Short())
	}
	return nil
}

func (s *source) refused(format string, args ...any) *fault.Error {
	return fault.New(fault.Refused, "the image %s cannot be unpacked: %s", s.ref, fmt.Sprintf(format, args...))
}
