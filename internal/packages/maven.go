package packages

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"

	"drawbridge/internal/fault"
)

// maxChecksum bounds a checksum file, bytes.
const maxChecksum = 4 << 10

// maven finds the one file of a version by the repository layout: there is nothing to list.
func (q query) maven(ctx context.Context) ([]File, error) {
	group, name, _ := strings.Cut(q.spec.Name, ":")
	file := name + "-" + q.version
	if q.spec.Classifier != "" {
		file += "-" + q.spec.Classifier
	}
	file += "." + cmp.Or(q.spec.Extension, "jar")
	if err := checkName(file); err != nil {
		return nil, err
	}
	to := q.at(append(strings.Split(group, "."), name, q.version, file)...)
	size, err := q.head(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("look for %s %s: %w", q.spec.Name, q.version, err)
	}
	found := File{Name: file, URL: to, Size: size, Origin: originOf(q.base)}
	// SHA-1 and MD5, which every repository has, prove nothing any more.
	for _, algorithm := range []string{"sha512", "sha256"} {
		body, _, err := q.site().read(ctx, to+"."+algorithm, nil, maxChecksum)
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the checksum of %s: %w", file, err)
		}
		sum, _, _ := strings.Cut(strings.TrimSpace(string(body)), " ")
		if found.Integrity, err = fromHex(algorithm + ":" + strings.ToLower(sum)); err != nil {
			return nil, err
		}
		break
	}
	bundle := to + ".sigstore.json"
	if _, err := q.head(ctx, bundle); err == nil {
		found.Attestations = []Attestation{{bundle, FormBundle}}
	} else if !absent(err) {
		return nil, fmt.Errorf("look for the bundle of %s: %w", file, err)
	}
	return []File{found}, nil
}

// head asks whether something is there, and how large it is; 0 when the host does not say.
func (q query) head(ctx context.Context, to string) (size int64, err error) {
	resp, err := q.site().get(ctx, http.MethodHead, to, nil)
	if err != nil {
		return 0, err
	}
	closeBody(resp)
	return max(resp.ContentLength, 0), nil
}

// absent reports whether an error says that a file beside another is not there. Repositories
// on object storage answer 403 for what is not.
func absent(err error) bool {
	return fault.Is(err, fault.NotFound) || fault.Is(err, fault.Forbidden)
}
