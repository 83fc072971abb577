package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/klauspost/compress/s2"

	"drawbridge/internal/artifact"
	"drawbridge/internal/bridge"
	"drawbridge/internal/fault"
)

// Bundles reads the Sigstore bundles that stand beside a file with that digest, each once, as
// compact JSON, in the order of file.Attestations. None is no error, and neither is a place
// that is empty. What is no bundle with a statement in it, such as a signature over the bare
// file, is left out: no policy could read anything there. Nothing of them is verified. More
// than bridge.MaxReferrers, one over bridge.MaxBundle, or all over bridge.MaxEvidence is a
// fault of kind TooLarge.
func (f *Fetcher) Bundles(ctx context.Context, file File, digest artifact.Digest) ([][]byte, error) {
	ctx, cancel := f.bounded(ctx)
	defer cancel()
	c := collector{site: f.site(file.Origin), file: file, digest: digest, seen: map[artifact.Digest]bool{}}
	for _, a := range file.Attestations {
		err := c.collect(ctx, a)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the attestations of %s: %w", file.Name, err)
		}
	}
	return c.bundles, nil
}

// collector gathers the bundles of one file.
type collector struct {
	site    site
	file    File
	digest  artifact.Digest
	bundles [][]byte
	seen    map[artifact.Digest]bool
	total   int // bytes
}

func (c *collector) collect(ctx context.Context, a Attestation) error {
	switch a.Form {
	case FormBundle:
		body, _, err := c.site.read(ctx, a.URL, download, bridge.MaxBundle)
		if err != nil {
			return err
		}
		return c.add(body)
	case FormLines:
		body, _, err := c.site.read(ctx, a.URL, download, bridge.MaxEvidence)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(body) {
			if err := c.add(line); err != nil {
				return err
			}
		}
		return nil
	case FormGitHub:
		return c.github(ctx, a.URL)
	case FormNPM:
		_, err := c.list(ctx, a.URL, jsonHeader)
		return err
	}
	return fault.New(fault.Invalid, "%q is no form of attestations", a.Form)
}

// github reads every page of GitHub's list for the file's digest.
func (c *collector) github(ctx context.Context, at string) error {
	at += "/" + c.digest.String()
	query := url.Values{"per_page": {fmt.Sprint(githubPage)}}.Encode()
	for range bridge.MaxReferrers/githubPage + 1 {
		answer, err := c.list(ctx, at+"?"+query, githubHeader)
		if err != nil {
			return err
		}
		if query = next(answer); query == "" {
			return nil
		}
	}
	return c.tooMany()
}

// list reads a document that has bundles in a list, as GitHub's and npm's do, and returns the answer's header.
func (c *collector) list(ctx context.Context, at string, header http.Header) (http.Header, error) {
	var list struct {
		Attestations []struct {
			Bundle    json.RawMessage `json:"bundle"`
			BundleURL string          `json:"bundle_url"` // GitHub's, where it does not carry the bundle
		} `json:"attestations"`
	}
	body, answer, err := c.site.read(ctx, at, header, bridge.MaxEvidence)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "%s answers with no list of attestations", c.site.host)
	}
	if len(list.Attestations) > bridge.MaxReferrers {
		return nil, c.tooMany()
	}
	for _, a := range list.Attestations {
		bundle := []byte(a.Bundle)
		if (len(bundle) == 0 || string(bundle) == "null") && a.BundleURL != "" {
			if bundle, err = c.compressed(ctx, a.BundleURL); fault.Is(err, fault.NotFound) {
				continue
			}
			if err != nil {
				return nil, err
			}
		}
		if err := c.add(bundle); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// compressed reads a bundle that GitHub keeps elsewhere, as one Snappy block.
func (c *collector) compressed(ctx context.Context, at string) ([]byte, error) {
	body, _, err := c.site.read(ctx, at, nil, bridge.MaxBundle)
	if err != nil {
		return nil, err
	}
	if n, err := s2.DecodedLen(body); err == nil && n > bridge.MaxBundle {
		return nil, c.tooLarge() // before anything is made of that size
	}
	bundle, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "%s keeps a bundle in another form", c.site.host)
	}
	return bundle, nil
}

// add takes a bundle, unless it is none or is there already.
func (c *collector) add(raw []byte) error {
	if len(raw) > bridge.MaxBundle {
		return c.tooLarge()
	}
	var b bytes.Buffer
	if whole := json.Compact(&b, raw) == nil; !whole || !isBundle(b.Bytes()) {
		return nil
	}
	d := artifact.DigestOf(b.Bytes())
	if c.seen[d] {
		return nil
	}
	c.seen[d] = true
	c.bundles = append(c.bundles, b.Bytes())
	if len(c.bundles) > bridge.MaxReferrers {
		return c.tooMany()
	}
	if c.total += b.Len(); c.total > bridge.MaxEvidence {
		return c.tooLarge()
	}
	return nil
}

// isBundle reports whether a document is a Sigstore bundle, of any version, with an envelope.
func isBundle(raw []byte) bool {
	var b struct {
		MediaType    string          `json:"mediaType"`
		DSSEEnvelope json.RawMessage `json:"dsseEnvelope"`
	}
	return json.Unmarshal(raw, &b) == nil && len(b.DSSEEnvelope) > 0 && strings.HasPrefix(b.MediaType, "application/vnd.dev.sigstore.bundle")
}

func (c *collector) tooMany() error {
	return fault.New(fault.TooLarge, "%s has more than %d attestations", c.file.Name, bridge.MaxReferrers)
}

func (c *collector) tooLarge() error {
	return fault.New(fault.TooLarge, "the attestations of %s are too large: at most %d bytes each, %d together", c.file.Name, bridge.MaxBundle, bridge.MaxEvidence)
}

// next is the query of the next page, as a Link header names it (RFC 8288). Only its query is
// taken: the list cannot lead elsewhere.
func next(h http.Header) string {
	for link := range strings.SplitSeq(strings.Join(h.Values("Link"), ","), ",") {
		address, rest, ok := strings.Cut(strings.TrimSpace(link), ">")
		if !ok || !strings.Contains(rest, `rel="next"`) {
			continue
		}
		if u, err := url.Parse(strings.TrimPrefix(address, "<")); err == nil {
			return u.RawQuery
		}
	}
	return ""
}
