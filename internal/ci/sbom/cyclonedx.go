package sbom

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// encode writes the document. There is no time in it, and its serial number is taken from
// the content.
func encode(s Subject, files []file) ([]byte, error) {
	bom := cdx.NewBOM()
	root := cdx.Component{BOMRef: "subject", Type: cdx.ComponentTypeContainer, Name: s.Name, Version: s.Version}
	tools := []cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "drawbridge"}}
	bom.Metadata = &cdx.Metadata{Component: &root, Tools: &cdx.ToolsChoice{Components: &tools}}
	g := graph{components: map[string]cdx.Component{}, edges: map[string][]string{"subject": nil}}
	for _, f := range files {
		g.file(f)
	}
	components := g.sorted()
	dependencies := g.dependencies()
	bom.Components, bom.Dependencies = &components, &dependencies
	bom.SerialNumber = serial(s, files)
	var b bytes.Buffer
	e := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON)
	e.SetPretty(false)
	e.SetEscapeHTML(false)
	if err := e.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encoding the bill of materials: %w", err)
	}
	return b.Bytes(), nil
}

// graph is the components by their reference, and what depends on what.
type graph struct {
	components map[string]cdx.Component
	edges      map[string][]string
}

func (g *graph) file(f file) {
	ref := "file:" + f.path
	c := cdx.Component{
		BOMRef: ref, Type: cdx.ComponentTypeFile, Name: f.path,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: f.hash}},
	}
	properties := []cdx.Property{{Name: "drawbridge:size", Value: strconv.FormatInt(f.size, 10)}}
	if f.note != "" {
		properties = append(properties, cdx.Property{Name: "drawbridge:executable", Value: f.note})
	}
	if f.binary != nil && f.binary.command != "" {
		properties = append(properties, cdx.Property{Name: "drawbridge:go:command", Value: f.binary.command})
	}
	c.Properties = &properties
	g.components[ref] = c
	g.edges["subject"] = append(g.edges["subject"], ref)
	if f.binary == nil {
		return
	}
	if f.binary.goVersion != "" {
		g.module(ref, module{path: "stdlib", version: f.binary.goVersion})
	}
	if f.binary.main.path != "" {
		g.module(ref, f.binary.main)
	}
	for _, m := range f.binary.modules {
		g.module(ref, m)
	}
}

func (g *graph) module(from string, m module) {
	purl := packageURL(m)
	ref := purl
	if m.replaces != "" {
		ref += "#replaces=" + url.QueryEscape(m.replaces)
	}
	c := cdx.Component{BOMRef: ref, Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version, PackageURL: purl}
	if m.replaces != "" {
		c.Properties = &[]cdx.Property{{Name: "drawbridge:go:replaces", Value: m.replaces}}
	}
	g.components[ref] = c
	g.edges[from] = append(g.edges[from], ref)
}

func (g *graph) sorted() []cdx.Component {
	out := make([]cdx.Component, 0, len(g.components))
	for _, ref := range sortedKeys(g.components) {
		out = append(out, g.components[ref])
	}
	return out
}

func (g *graph) dependencies() []cdx.Dependency {
	out := make([]cdx.Dependency, 0, len(g.edges))
	for _, ref := range sortedKeys(g.edges) {
		on := slices.Clone(g.edges[ref])
		slices.Sort(on)
		on = slices.Compact(on)
		out = append(out, cdx.Dependency{Ref: ref, Dependencies: &on})
	}
	return out
}

// packageURL is the purl of a Go module: pkg:golang/NAMESPACE/NAME@VERSION. A local replacement
// has a path that is none of a module, so it gets a name alone.
func packageURL(m module) string {
	name := m.path
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "/") {
		name = "local/" + path.Base(path.Clean("/"+name))
	}
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	purl := "pkg:golang/" + strings.Join(parts, "/")
	if m.version != "" {
		purl += "@" + strings.ReplaceAll(url.QueryEscape(m.version), "+", "%20")
	}
	return purl
}

// serial is a UUID of version 8 made from the content, so that the same tree has the same.
func serial(s Subject, files []file) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%q %q\n", s.Name, s.Version)
	for _, f := range files {
		fmt.Fprintf(&b, "%q %s\n", f.path, f.hash)
	}
	sum := sha256.Sum256(b.Bytes())
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
