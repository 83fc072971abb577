package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Media types of Docker that stand for the same as OCI's.
const (
	mediaTypeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// Names of labels, from https://github.com/opencontainers/image-spec/blob/main/annotations.md.
const (
	labelCreated  = "org.opencontainers.image.created"
	labelRevision = "org.opencontainers.image.revision"
)

// Limits of one image.
const (
	maxLayers    = 1000
	maxLabels    = 500
	maxLabelText = 64 << 10 // bytes of all labels together
)

// platform is one entry of an index, or a config, as far as it says where it runs.
type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
}

// platformPart is what an operating system, architecture or variant is called.
var platformPart = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)

// text is "linux/amd64" or "linux/arm64/v8"; "" when it names none, as attestations in an
// index do.
func (p platform) text() string {
	if !platformPart.MatchString(p.OS) || !platformPart.MatchString(p.Architecture) || p.OS == "unknown" {
		return ""
	}
	if platformPart.MatchString(p.Variant) {
		return p.OS + "/" + p.Architecture + "/" + p.Variant
	}
	return p.OS + "/" + p.Architecture
}

// inspected is a manifest or an index, with the platforms of its entries.
type inspected struct {
	manifest
	Manifests []struct {
		descriptor
		Platform platform `json:"platform"`
	} `json:"manifests"`
}

// Inspect implements bridge.Images. Of an index it reads the entries, and of the first that
// has a platform the manifest and the config; an index in an index is refused.
func (c *Client) Inspect(ctx context.Context, ref artifact.Reference) (bridge.Image, error) {
	body, mediaType, err := c.byDigest(ctx, ref)
	if err != nil {
		return bridge.Image{}, err
	}
	var m inspected
	if err := json.Unmarshal(body, &m); err != nil {
		return bridge.Image{}, fault.Wrap(fault.Invalid, err, "%s is no manifest", ref)
	}
	image := bridge.Image{Digest: ref.Digest, MediaType: mediaType, Labels: map[string]string{}}
	switch mediaType {
	case mediaTypeManifest, mediaTypeDockerManifest:
		err = c.inspectManifest(ctx, ref, m.manifest, &image)
	case mediaTypeIndex, mediaTypeDockerList:
		err = c.inspectIndex(ctx, ref, m, &image)
	default:
		err = fault.New(fault.Invalid, "%s is neither an image nor an index, but %.100q", ref, mediaType)
	}
	if err != nil {
		return bridge.Image{}, err
	}
	image.Commit = image.Labels[labelRevision]
	if at, err := time.Parse(time.RFC3339, image.Labels[labelCreated]); err == nil {
		image.Created = at.UTC()
	}
	return image, nil
}

// inspectIndex takes the platforms of an index, and the labels and the time of its first image.
func (c *Client) inspectIndex(ctx context.Context, ref artifact.Reference, index inspected, image *bridge.Image) error {
	if len(index.Manifests) > bridge.MaxPlatforms {
		return fault.New(fault.TooLarge, "%s has %d manifests, at most %d are read", ref, len(index.Manifests), bridge.MaxPlatforms)
	}
	var first artifact.Digest
	for _, m := range index.Manifests {
		if m.MediaType == mediaTypeIndex || m.MediaType == mediaTypeDockerList {
			return nested(ref)
		}
		name := m.Platform.text()
		if name == "" {
			continue
		}
		image.Platforms = append(image.Platforms, name)
		if !first.IsZero() {
			continue
		}
		d, err := artifact.ParseDigest(m.Digest)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "%s names an image without a sha256 digest", ref)
		}
		first = d
	}
	slices.Sort(image.Platforms)
	image.Platforms = slices.Compact(image.Platforms)
	if err := label(ref, image, index.Annotations); err != nil || first.IsZero() {
		return err
	}
	m, err := c.readManifest(ctx, ref.WithDigest(first))
	if err != nil {
		return fmt.Errorf("read an image of %s: %w", ref, err)
	}
	if len(m.Manifests) > 0 {
		return nested(ref) // whatever the index said that it is
	}
	one := bridge.Image{Labels: image.Labels}
	if err := c.inspectManifest(ctx, ref.WithDigest(first), m, &one); err != nil {
		return err
	}
	image.Created = one.Created
	return nil
}

func nested(ref artifact.Reference) error {
	return fault.New(fault.Invalid, "%s is an index of indexes", ref).WithHint("publish an index of images")
}

// inspectManifest takes what one image's manifest and config say.
func (c *Client) inspectManifest(ctx context.Context, ref artifact.Reference, m manifest, image *bridge.Image) error {
	if len(m.Layers) > maxLayers {
		return fault.New(fault.TooLarge, "%s has %d layers, at most %d are read", ref, len(m.Layers), maxLayers)
	}
	for _, l := range m.Layers {
		d, err := artifact.ParseDigest(l.Digest)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "a layer of %s has no sha256 digest", ref)
		}
		image.Layers = append(image.Layers, d)
	}
	if err := label(ref, image, m.Annotations); err != nil {
		return err
	}
	if m.Config == nil || (m.Config.MediaType != mediaTypeConfig && m.Config.MediaType != mediaTypeDockerConfig) {
		return nil // a chart, a bundle or whatever else: it says nothing that is known
	}
	return c.inspectConfig(ctx, ref, *m.Config, image)
}

// inspectConfig takes what an image's config says.
func (c *Client) inspectConfig(ctx context.Context, ref artifact.Reference, d descriptor, image *bridge.Image) error {
	digest, err := artifact.ParseDigest(d.Digest)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the config of %s has no sha256 digest", ref)
	}
	if d.Size > bridge.MaxConfig {
		return fault.New(fault.TooLarge, "the config of %s has more than %d bytes", ref, bridge.MaxConfig)
	}
	body, err := c.smallBlob(ctx, ref, digest, bridge.MaxConfig)
	if err != nil {
		return fmt.Errorf("read the config of %s: %w", ref, err)
	}
	var config struct {
		platform
		Created string
		Config  struct{ Labels map[string]string }
	}
	if err := json.Unmarshal(body, &config); err != nil {
		return fault.Wrap(fault.Invalid, err, "the config of %s is malformed", ref)
	}
	if name := config.text(); name != "" {
		image.Platforms = []string{name}
	}
	// Reproducible builds write the year 1 or 1970, which is no time.
	if at, err := time.Parse(time.RFC3339, config.Created); err == nil && at.Unix() > 0 {
		image.Created = at.UTC()
	}
	return label(ref, image, config.Config.Labels)
}

// label adds labels to an image's, over those of the same name.
func label(ref artifact.Reference, image *bridge.Image, labels map[string]string) error {
	maps.Copy(image.Labels, labels)
	size := 0
	for name, text := range image.Labels {
		size += len(name) + len(text)
	}
	if len(image.Labels) > maxLabels || size > maxLabelText {
		return fault.New(fault.TooLarge, "%s has more than %d labels or %d bytes of them", ref, maxLabels, maxLabelText)
	}
	return nil
}
