package examples_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"drawbridge/examples"
)

var update = flag.Bool("update", false, "write shop.txtar from the folder shop")

// folder is the files of dir by their slash path.
func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestArchiveIsTheFolder(t *testing.T) {
	want := folder(t, "shop")
	if *update {
		a := &txtar.Archive{Comment: []byte("The folder shop as one archive; see examples.go.\n")}
		err := filepath.WalkDir("shop", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel("shop", path)
			a.Files = append(a.Files, txtar.File{Name: filepath.ToSlash(name), Data: []byte(want[filepath.ToSlash(name)])})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("shop.txtar", txtar.Format(a), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	dir := t.TempDir()
	if err := examples.WriteShop(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, folder(t, dir)); diff != "" {
		t.Errorf("shop.txtar is not the folder (-folder +archive); go test ./examples -update:\n%s", diff)
	}
}
