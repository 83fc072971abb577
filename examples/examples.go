// Package examples carries the sample application inside the program, so that the demo
// needs nothing but the binary.
//
// The application is a Go module of its own, which cannot be embedded as files; shop.txtar
// is the folder as one archive. A test keeps the two alike: go test ./examples -update
// writes the archive anew.
package examples

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/txtar"
)

//go:embed shop.txtar
var shop []byte

// WriteShop writes the sample application below dir, which is made when it is missing.
func WriteShop(dir string) error {
	for _, f := range txtar.Parse(shop).Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // source code, readable by everybody
			return fmt.Errorf("write the sample: %w", err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil { //nolint:gosec // source code, readable by everybody
			return fmt.Errorf("write the sample: %w", err)
		}
	}
	return nil
}
