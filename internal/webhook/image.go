package webhook

import (
	"net/url"
	"strings"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
)

// published is the fact that the image name, with its host, stands under tag. An empty tag or
// one of attachments gives nothing. digest may be empty. A name without a host is refused: it
// would mean this server's registry, for which no sender speaks.
func published(f bridge.Fact, name, tag, digest string) ([]bridge.Fact, error) {
	if tag == "" || bridge.Attached(tag) {
		return nil, nil
	}
	ref, err := artifact.ParseReference(name + ":" + tag)
	if err != nil || ref.Name() != strings.ToLower(name) {
		return nil, wrong("image", "%q is no image", clean(name+":"+tag, 120)).
			WithHint("registries take lower-case names, and a host belongs before them")
	}
	if ref.Host == "" {
		return nil, wrong("image", "%q names no registry host", clean(name+":"+tag, 120)).
			WithHint("set host of the receiver to the registry's address")
	}
	if digest != "" {
		if ref.Digest, err = artifact.ParseDigest(digest); err != nil {
			return nil, wrong("digest", "%q is no digest", clean(digest, 80))
		}
	}
	f.Kind, f.Artifact = bridge.KindArtifact, ref
	if f.Subject == "" {
		f.Subject = ref.Name() + ":" + ref.Tag
	}
	return []bridge.Fact{f}, nil
}

// hostOf is the host with its port in an address, lower case; text without a scheme is taken
// as host and path.
func hostOf(address string) string {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}
