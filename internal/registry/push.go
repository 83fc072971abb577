package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

const (
	mediaTypeConfig = "application/vnd.oci.image.config.v1+json"
	mediaTypeLayer  = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// maxConfig bounds an image's config, bytes.
const maxConfig = 1 << 20

// ImageConfig says how an image runs and where it comes from.
type ImageConfig struct {
	Entrypoint []string
	Env        []string // NAME=value
	WorkingDir string   // absolute in the image; empty means its root
	User       string   // empty means the runtime's default
	Labels     map[string]string
	Platform   Platform
	Created    time.Time // cut to whole seconds; zero means 1970
}

// Platform is what an image runs on, in Go's words; empty fields are this server's.
type Platform struct {
	OS           string // "linux"
	Architecture string // "amd64"
}

// Limits bound the tree that an image is built from; zero fields take the defaults.
type Limits struct {
	Files int   // entries, directories included; default 50,000
	Bytes int64 // of all files together; default 1 GiB
	Path  int   // bytes of one path or link target; default 1,024
}

func (l Limits) withDefaults() Limits {
	return Limits{cmp.Or(l.Files, 50_000), cmp.Or(l.Bytes, 1<<30), cmp.Or(l.Path, 1024)}
}

// Push builds an image of one layer from a tar stream and pushes it by digest to image's
// repository; it sets no tag, and image must name none. The stream may come from anyone:
// paths that are absolute or lead upwards, devices, links that leave the tree, names that
// come twice or are whiteouts are faults of kind Invalid, what exceeds the limits is
// TooLarge. Order, times, owners and all permissions but "executable" are dropped: the
// same files and config give the same digest (with the same version of the Go compressor).
// Push reads content to the end of the archive and does not close it.
func (c *Client) Push(ctx context.Context, image artifact.Reference, content io.Reader, config ImageConfig, limits Limits) (artifact.Digest, error) {
	if image.Tag != "" || !image.Digest.IsZero() {
		return artifact.Digest{}, fault.New(fault.Invalid, "%s: an image is pushed by digest; name the repository alone", image)
	}
	layer, err := buildLayer(ctx, c.config.Temp, content, limits.withDefaults())
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("build image %s: %w", image, err)
	}
	defer layer.close()
	rawConfig, err := config.encode(layer.diffID)
	if err != nil {
		return artifact.Digest{}, err
	}
	raw, err := json.Marshal(manifest{
		SchemaVersion: 2, MediaType: mediaTypeManifest,
		Config: describe(mediaTypeConfig, rawConfig),
		Layers: []descriptor{{MediaType: mediaTypeLayer, Digest: layer.digest.String(), Size: layer.size}},
	})
	if err != nil {
		return artifact.Digest{}, fmt.Errorf("write manifest: %w", err)
	}
	s, err := c.session(ctx, image, true)
	if err != nil {
		return artifact.Digest{}, err
	}
	if err := s.putBlob(ctx, layer.digest, layer.body()); err != nil {
		return artifact.Digest{}, err
	}
	if err := s.putBlob(ctx, artifact.DigestOf(rawConfig), *bytesBody(rawConfig)); err != nil {
		return artifact.Digest{}, err
	}
	digest := artifact.DigestOf(raw)
	if _, err := s.putManifest(ctx, digest.String(), mediaTypeManifest, raw); err != nil {
		return artifact.Digest{}, err
	}
	return digest, nil
}

// encode writes the image config of the OCI image specification.
func (c ImageConfig) encode(diffID artifact.Digest) ([]byte, error) {
	for _, e := range c.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" || strings.ContainsRune(e, 0) {
			return nil, fault.New(fault.Invalid, "%q is no environment variable", e).WithField("env").WithHint("write NAME=value")
		}
	}
	type run struct {
		User       string            `json:"User,omitempty"`
		Env        []string          `json:"Env,omitempty"`
		Entrypoint []string          `json:"Entrypoint,omitempty"`
		WorkingDir string            `json:"WorkingDir,omitempty"`
		Labels     map[string]string `json:"Labels,omitempty"`
	}
	type rootfs struct {
		Type    string            `json:"type"`
		DiffIDs []artifact.Digest `json:"diff_ids"`
	}
	created := time.Unix(0, 0).UTC()
	if !c.Created.IsZero() {
		created = c.Created.UTC().Truncate(time.Second)
	}
	raw, err := json.Marshal(struct {
		Created      time.Time `json:"created"`
		Architecture string    `json:"architecture"`
		OS           string    `json:"os"`
		Config       run       `json:"config"`
		RootFS       rootfs    `json:"rootfs"`
	}{
		created, cmp.Or(c.Platform.Architecture, runtime.GOARCH), cmp.Or(c.Platform.OS, runtime.GOOS),
		run{c.User, c.Env, c.Entrypoint, c.WorkingDir, c.Labels},
		rootfs{"layers", []artifact.Digest{diffID}},
	})
	if err != nil {
		return nil, fmt.Errorf("write image config: %w", err)
	}
	if len(raw) > maxConfig {
		return nil, fault.New(fault.TooLarge, "an image's config has at most %d bytes, not %d", maxConfig, len(raw))
	}
	return raw, nil
}
