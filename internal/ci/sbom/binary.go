package sbom

import (
	"bytes"
	"debug/buildinfo"
	"runtime/debug"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of what one binary says.
const (
	maxModules = 5000
	maxText    = 1024 // bytes of a module's path or version
)

// binary is what a Go binary says of itself.
type binary struct {
	goVersion string // "1.26.8"
	main      module // path "" when it names none
	command   string // package path of the command
	modules   []module
}

// module is one module that is linked in.
type module struct {
	path, version string
	replaces      string // the module that it stands for; empty usually
}

// inspect reads the build information of an executable. note says why there is none although
// the file is an executable.
func inspect(b []byte) (bin *binary, note string) {
	// The parsers of executables are not made for hostile input: a panic is an answer too.
	defer func() {
		if recover() != nil {
			bin, note = nil, "not looked into: malformed executable"
		}
	}()
	info, err := buildinfo.Read(bytes.NewReader(b))
	if err != nil {
		return nil, "no Go build information"
	}
	if len(info.Deps) > maxModules || !sensible(info) {
		return nil, "not looked into: malformed build information"
	}
	bin = &binary{goVersion: strings.TrimPrefix(firstWord(info.GoVersion), "go"), command: info.Path, main: moduleOf(&info.Main)}
	for _, d := range info.Deps {
		bin.modules = append(bin.modules, moduleOf(d))
	}
	slices.SortFunc(bin.modules, func(a, b module) int { return strings.Compare(a.path+"@"+a.version, b.path+"@"+b.version) })
	bin.modules = slices.Compact(bin.modules)
	return bin, ""
}

func moduleOf(m *debug.Module) module {
	if m.Replace != nil {
		return module{path: m.Replace.Path, version: m.Replace.Version, replaces: m.Path + "@" + m.Version}
	}
	return module{path: m.Path, version: m.Version}
}

// sensible reports whether all texts are short, valid and without control characters.
func sensible(info *debug.BuildInfo) bool {
	texts := []string{info.GoVersion, info.Path}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m == nil {
			return false
		}
		texts = append(texts, m.Path, m.Version)
		if r := m.Replace; r != nil {
			texts = append(texts, r.Path, r.Version)
		}
	}
	return !slices.ContainsFunc(texts, func(s string) bool {
		return len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
	})
}

func firstWord(s string) string {
	s, _, _ = strings.Cut(s, " ")
	return s
}
