package cd

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"drawbridge/internal/bridge"
)

var (
	repositoryForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`) // of one on this server
	branchForm     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+@-]{0,199}$`)
)

// git checks the keys that a trigger on git alone has.
func (c *checker) git(p string, t TriggerSpec) {
	if t.Repository == "" {
		c.fail(p, "write repository: https://HOST/PATH, or a name on this server", "a git trigger names no repository")
	}
	if b := t.Branch; b != "" && (!branchForm.MatchString(b) || strings.Contains(b, "..") || strings.Contains(b, "@{") ||
		strings.Contains(b, "//") || strings.HasSuffix(b, "/") || strings.HasSuffix(b, ".lock")) {
		c.fail(p+".branch", "write main, without refs/heads", "%q is no branch", b)
	}
	if strings.HasPrefix(t.Branch, "refs/") {
		c.fail(p+".branch", "write main, without refs/heads", "%q is a whole ref", t.Branch)
	}
	if t.Path != "" && !folder(t.Path) {
		c.fail(p+".path", "write a folder in the repository, such as environments", "%q leads out of the repository or is no folder", t.Path)
	}
}

// folder reports whether p is a folder in a repository, from its root.
func folder(p string) bool {
	if len(p) > 500 || path.IsAbs(p) || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune("\\:*?", r) }) {
		return false
	}
	return !slices.Contains(strings.Split(p, "/"), "..") && !strings.HasPrefix(cleanPath(p), "-") && !slices.Contains(strings.Split(p, "/"), ".git")
}

// repository checks which Git repository is watched.
func (c *checker) repository(p string, t TriggerSpec) {
	if t.Repository != "" {
		address, ok := bridge.NormalRepository(t.Repository)
		if !ok || !strings.Contains(address, "://") && !repositoryForm.MatchString(address) {
			c.fail(p+".repository", "write https://HOST/PATH, or a name on this server", "%q is no repository", t.Repository)
		}
		return
	}
	if c.err == nil && t.Poll != 0 && t.repository(*c.d) == "" {
		c.fail(p+".poll", "its registry tells of it through a receiver", "a package registry is not looked at")
	}
}
