package arch_test

import "strings"

// imports judges who imports what of this module, and of the world.
func imports(s source) []string {
	var found []string
	for _, f := range s.files {
		u, known := unitOf(f.folder)
		if !known {
			found = append(found, s.violation(f.tree.Package,
				"%s has no row in the import law: say in internal/arch/law_test.go what it is and what it may import", f.folder))
			continue
		}
		for _, spec := range f.tree.Imports {
			what := imported(spec)
			inner, own := strings.CutPrefix(what, module+"/")
			reason := ""
			switch {
			case own && crosses(f.folder, inner):
				reason = "CI and CD never know each other, not in tests either: cross through internal/bridge"
			case f.test || own && beneath(inner, f.folder):
			case own:
				reason = inside(f.folder, u, inner)
			default:
				reason = outside(f.folder, u, what)
			}
			if reason != "" {
				found = append(found, s.violation(spec.Pos(), "%s imports %s: %s", f.folder, what, reason))
			}
		}
	}
	return found
}

// crosses reports whether an import goes from one plane into the other.
func crosses(from, to string) bool {
	ci, cd := []string{"internal/ci", "internal/store/ci"}, []string{"internal/cd", "internal/store/cd"}
	return beneathAny(from, ci) && beneathAny(to, cd) || beneathAny(from, cd) && beneathAny(to, ci)
}

// inside is the reason why a folder may not import another one of this module, or "".
func inside(folder string, u unit, other string) string {
	if few, guarded := importers[other]; guarded && !beneathAny(folder, few) {
		return "only " + strings.Join(few, ", ") + " may"
	}
	if support(other) && !support(folder) {
		return "support for tests stays out of the product"
	}
	if beneath(other, u.path) || beneathAny(other, u.may) {
		return ""
	}
	return u.why
}

// outside is the reason why a folder may not import a package from outside the module, or "".
func outside(folder string, u unit, what string) string {
	if why, bad := impure[what]; bad && u.pure {
		return why
	}
	if u.test || support(folder) {
		return ""
	}
	for _, l := range libraries {
		if beneath(what, l.path) {
			if beneathAny(folder, l.owners) {
				return ""
			}
			return "only " + strings.Join(l.owners, ", ") + " may"
		}
	}
	if first, _, _ := strings.Cut(what, "/"); strings.Contains(first, ".") {
		return "no row names an owner of this library: add it to internal/arch/law_test.go and docs/dependencies.md"
	}
	return ""
}
