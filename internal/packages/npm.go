package packages

import (
	"context"
	"fmt"
	"strings"

	"drawbridge/internal/fault"
)

// npmVersion is a version's document, as far as it is read.
type npmVersion struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Dist    struct {
		Tarball      string `json:"tarball"`
		Integrity    string `json:"integrity"`
		Attestations *struct {
			URL string `json:"url"`
		} `json:"attestations"`
	} `json:"dist"`
}

func (q query) npm(ctx context.Context) ([]File, error) {
	v, err := q.npmVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", q.spec.Name, q.version, err)
	}
	if v.Name != q.spec.Name || v.Version != q.version {
		// A distribution tag such as "latest" is answered with what it stands for.
		return nil, fault.New(fault.Refused, "%s answers with %.50q %.50q instead of %s %s", q.base.Host, v.Name, v.Version, q.spec.Name, q.version)
	}
	// As npm pack names it: what the address ends with is anybody's word.
	name := strings.NewReplacer("@", "", "/", "-").Replace(q.spec.Name) + "-" + q.version + ".tgz"
	if err := checkName(name); err != nil {
		return nil, err
	}
	file := File{Name: name, URL: v.Dist.Tarball, Integrity: v.Dist.Integrity, Origin: originOf(q.base)}
	if a := v.Dist.Attestations; a != nil && a.URL != "" {
		file.Attestations = []Attestation{{a.URL, FormNPM}}
	}
	return []File{file}, nil
}

// npmVersion reads the version's own document; registries that have none give the package's.
func (q query) npmVersion(ctx context.Context) (npmVersion, error) {
	var v npmVersion
	err := q.site().document(ctx, q.at(q.spec.Name, q.version), jsonHeader, &v)
	if !fault.Is(err, fault.NotFound) {
		return v, err
	}
	var all struct {
		Versions map[string]npmVersion `json:"versions"`
	}
	if err := q.site().document(ctx, q.at(q.spec.Name), jsonHeader, &all); err != nil {
		return v, err
	}
	v, ok := all.Versions[q.version]
	if !ok {
		return v, fault.New(fault.NotFound, "%s has no version %s of %s", q.base.Host, q.version, q.spec.Name)
	}
	return v, nil
}
