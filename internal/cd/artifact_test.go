package cd_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/fault"
)

// packaged is a delivery of one artifact, with triggers.
func packaged(artifact string, triggers ...string) string {
	src := "apiVersion: drawbridge/v1\nkind: Delivery\nname: shop\nartifacts:\n  - {" + artifact + "}\n"
	if len(triggers) > 0 {
		src += "triggers:\n  - {name: t, " + strings.Join(triggers, "}\n  - {name: t, ") + "}\n"
	}
	return src + "environments:\n  - {name: dev, target: {process: {artifact: cli}}}\n"
}

func TestPackages(t *testing.T) {
	for name, c := range map[string]struct {
		spec       string
		want       bridge.PackageRule
		source     string // that provenance must name
		repository string // that a trigger on its releases watches
	}{
		"github": {
			`github: {repository: acme/shop, file: "shop_{version}_*.tar.gz"}`,
			bridge.PackageRule{Kind: "github", Name: "acme/shop", File: "shop_{version}_*.tar.gz"},
			"https://github.com/acme/shop", "https://github.com/acme/shop",
		},
		"github of one's own": {
			`github: {url: "https://git.example.com/api/v3/", repository: acme/shop, file: shop}`,
			bridge.PackageRule{Kind: "github", URL: "https://git.example.com/api/v3", Name: "acme/shop", File: "shop"},
			"https://git.example.com/acme/shop", "https://git.example.com/acme/shop",
		},
		"gitea": {
			`gitea: {url: "https://git.example.com", repository: acme/shop, file: shop}`,
			bridge.PackageRule{Kind: "gitea", URL: "https://git.example.com", Name: "acme/shop", File: "shop"},
			"https://git.example.com/acme/shop", "https://git.example.com/acme/shop",
		},
		"gitlab": {
			`gitlab: {repository: acme/team/shop, file: shop}`,
			bridge.PackageRule{Kind: "gitlab", Name: "acme/team/shop", File: "shop"},
			"https://gitlab.com/acme/team/shop", "https://gitlab.com/acme/team/shop",
		},
		"maven": {
			`maven: {url: "http://127.0.0.1:8081/maven", name: "com.example:shop"}`,
			bridge.PackageRule{Kind: "maven", URL: "http://127.0.0.1:8081/maven", Name: "com.example:shop", File: "jar"},
			"shop", "",
		},
		"npm": {`npm: {name: "@acme/shop"}`, bridge.PackageRule{Kind: "npm", Name: "@acme/shop"}, "shop", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := cd.ParseDelivery("d.yaml", []byte(packaged("name: cli, package: {"+c.spec+"}", "on: release, promote: dev")))
			if err != nil {
				t.Fatal(err)
			}
			app := d.Application(1)
			a, tr := app.Artifacts[0], app.Triggers[0]
			if diff := cmp.Diff(&c.want, a.Package); diff != "" {
				t.Errorf("package (-want +got):\n%s", diff)
			}
			if a.Image.String() != "packages/shop/cli" || a.Repository != c.source || tr.Repository != c.repository {
				t.Errorf("image %s, source %s, watched %s; want packages/shop/cli, %s, %s", a.Image, a.Repository, tr.Repository, c.source, c.repository)
			}
		})
	}
}

func TestPackageRefuses(t *testing.T) {
	const good = `github: {repository: acme/shop, file: shop}`
	for name, c := range map[string]struct{ artifact, trigger, want, hint string }{
		"no kind":              {"package: {}", "on: release", "package names 0 kinds", "one of github"},
		"two kinds":            {"package: {npm: {name: a}, " + good + "}", "on: release", "package names 2 kinds", ""},
		"name leads upwards":   {`package: {github: {repository: acme/.., file: shop}}`, "on: release", "cannot be a name on github", "owner/repository"},
		"maven's name":         {`package: {maven: {name: shop}}`, "on: release", `"shop" cannot be a name on maven`, "group:artifact"},
		"npm's name":           {`package: {npm: {name: "@Acme/x"}}`, "on: release", "cannot be a name on npm", "@scope/name"},
		"no file":              {`package: {github: {repository: acme/shop}}`, "on: release", "no pattern of a file's name", "{version}"},
		"file in a folder":     {`package: {github: {repository: acme/shop, file: "../x"}}`, "on: release", "no pattern", ""},
		"broken pattern":       {`package: {github: {repository: acme/shop, file: "["}}`, "on: release", "no pattern", ""},
		"maven's file":         {`package: {maven: {name: "a:b", file: "x/y"}}`, "on: release", "no file of a Maven version", "classifier:jar"},
		"gitea without server": {`package: {gitea: {repository: acme/shop, file: shop}}`, "on: release", "gitea needs the address", "url"},
		"plain http":           {`package: {npm: {url: "http://registry.example.com", name: a}}`, "on: release", "not fetched over https", "https://registry.example.com"},
		"a user in it":         {`package: {npm: {url: "https://u:p@registry.example.com", name: a}}`, "on: release", "no address of a server", ""},
		"a file's address":     {`package: {npm: {url: "file:///etc/passwd", name: a}}`, "on: release", "no address", ""},
		"polled":               {"poll: 1m, package: {" + good + "}", "on: release", "only registries of images", "on: release"},
		"at an artifact":       {"package: {" + good + "}", "on: artifact", `"cli" is a package`, "on: release"},
		"a registry polled":    {"package: {npm: {name: a}}", "on: release, poll: 1m", "a package registry is not looked at", "receiver"},
		"bad image":            {"image: Shop, package: {" + good + "}", "on: release", "d.yaml:5:", ""},
		"misspelt kind":        {"package: {githb: {}}", "on: release", `unknown key "githb"`, "did you mean github?"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cd.ParseDelivery("d.yaml", []byte(packaged("name: cli, "+c.artifact, c.trigger+", promote: dev")))
			f := fault.As(err)
			if f == nil || f.Line == 0 || f.Column == 0 || !strings.Contains(err.Error(), c.want) || !strings.Contains(f.Hint, c.hint) {
				t.Errorf("got %v with hint %q, want %q with hint %q", err, hintOf(f), c.want, c.hint)
			}
		})
	}
}

func hintOf(f *fault.Error) string {
	if f == nil {
		return ""
	}
	return f.Hint
}

func TestArtifactsDiffer(t *testing.T) {
	with := func(second string) error {
		_, err := cd.ParseDelivery("d.yaml", []byte(strings.Replace(twoArtifacts, "  - {name: worker, image: shop/worker}", second, 1)))
		return err
	}
	for second, want := range map[string]string{
		"  - {name: web, image: shop/worker}": `d.yaml:6:6: artifact "web" stands twice`,
		"  - {name: worker, image: shop/web}": `d.yaml:6:20: artifact "worker" has the image of "web"`,
	} {
		if err := with(second); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	var many strings.Builder
	for i := range cd.MaxArtifacts {
		_, _ = fmt.Fprintf(&many, "  - {name: a%d, image: shop/a%d}\n", i, i)
	}
	if err := with("  - {name: worker, image: shop/worker}\n" + strings.TrimSuffix(many.String(), "\n")); err == nil || !strings.Contains(err.Error(), "1 to 20 artifacts, not 22") {
		t.Errorf("22 artifacts: %v", err)
	}
}
