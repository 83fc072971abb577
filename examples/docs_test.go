package examples_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"drawbridge/internal/attest"
	"drawbridge/internal/bridge"
	"drawbridge/internal/cd"
	"drawbridge/internal/identity"
	"drawbridge/internal/webhook"
)

// blocks are the YAML examples of a page; one that leaves something out ("…") is no example
// that can be checked.
var blocks = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// kindLine says what a document is.
var kindLine = regexp.MustCompile(`(?m)^kind: (\w+)$`)

// artifactName finds what the environments of a completed example run.
var artifactName = regexp.MustCompile(`- name: (\w+)`)

// TestExamplesOfPages holds every whole file, and every list of triggers or artifacts, that the
// pages show against the code that reads it.
func TestExamplesOfPages(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, page := range pages(t, "../docs", ".md") {
		src := read(t, page)
		for _, at := range blocks.FindAllStringSubmatchIndex(src, -1) {
			name := fmt.Sprintf("%s:%d", page, 1+strings.Count(src[:at[2]], "\n"))
			text := whole(src[at[2]:at[3]])
			if text == "" || strings.Contains(text, "…") {
				continue
			}
			checked++
			if err := readKind(name, text); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if checked < 20 {
		t.Errorf("%d examples were found, too few to be all", checked)
	}
}

// TestForeignCI reads the files of the folder foreign-ci that this server reads.
func TestForeignCI(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"foreign-ci/delivery.yaml", "foreign-ci/workloads.yaml"} {
		for i, doc := range strings.Split(read(t, file), "\n---\n") {
			if err := readKind(fmt.Sprintf("%s, document %d", file, i+1), doc); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestEverySenderIsTold demands a word about each sender in the guide and the reference.
func TestEverySenderIsTold(t *testing.T) {
	t.Parallel()
	guide, reference := read(t, "../docs/guide/receivers.md"), read(t, "../docs/reference/kinds.md")
	for _, s := range webhook.Senders() {
		if !strings.Contains(guide, "**"+s.Name+"**") {
			t.Errorf("docs/guide/receivers.md says nothing about **%s**: %s", s.Name, s.Title)
		}
		if !strings.Contains(reference, "`"+s.Name+"`") {
			t.Errorf("docs/reference/kinds.md does not list `%s`", s.Name)
		}
	}
}

// links are those of a page that lead to another file.
var links = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

// TestLinksOfPages follows every link between pages.
func TestLinksOfPages(t *testing.T) {
	t.Parallel()
	for _, page := range append(pages(t, "../docs", ".md"), "../README.md", "../CONTRIBUTING.md") {
		for _, m := range links.FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// whole completes a list of triggers or artifacts to a delivery; "" for what is no file of ours.
func whole(text string) string {
	const head = "apiVersion: drawbridge/v1\nkind: Delivery\nname: shop\n"
	const places = "environments:\n" +
		"  - {name: dev, target: {process: {artifact: NAME, command: [./x]}}}\n" +
		"  - {name: staging, target: {process: {artifact: NAME, command: [./x]}}}\n" +
		"  - {name: production, target: {process: {artifact: NAME, command: [./x]}}}\n"
	switch {
	case kindLine.MatchString(text):
		return text
	case strings.HasPrefix(text, "triggers:\n"):
		return head + "artifacts:\n  - {name: web, image: shop/web}\n  - {name: worker, image: shop/worker}\n" +
			text + strings.ReplaceAll(places, "NAME", "web")
	case strings.HasPrefix(text, "artifacts:\n"):
		return head + text + strings.ReplaceAll(places, "NAME", artifactName.FindStringSubmatch(text)[1])
	}
	return ""
}

func readKind(name, text string) error {
	kind := ""
	if m := kindLine.FindStringSubmatch(text); m != nil {
		kind = m[1]
	}
	var err error
	src := []byte(text)
	switch kind {
	case cd.KindDelivery:
		_, err = cd.ParseDelivery(name, src)
	case bridge.KindReceiver:
		var types []string
		for _, s := range webhook.Senders() {
			types = append(types, s.Name)
		}
		_, err = bridge.ParseReceiver(name, src, types)
	case bridge.KindPolicy:
		_, err = bridge.ParsePolicy(name, src)
	case identity.KindWorkload:
		_, err = identity.ParseWorkload(name, src)
	case "EnvironmentState":
		_, err = bridge.ParseState(name, src)
	case "Trust":
		_, err = attest.ParseTrust(name, src)
	default:
		err = fmt.Errorf("%q is no kind of file", kind)
	}
	return err
}

func pages(t *testing.T, dir, ending string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ending) {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
