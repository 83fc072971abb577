package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// floodCount is how many deliveries the flood posts.
const floodCount = "100000"

// flood runs the flood of the end-to-end tests at its full size and keeps its figures: the
// test itself says whether anything was lost, kept twice or started twice.
func (b *bench) flood(ctx context.Context) error {
	b.say("a flood of %s deliveries", floodCount)
	file := filepath.Join(b.dir, "flood.json")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=10m", "-run", "^TestFlood$", "drawbridge/e2e")
	cmd.Env = append(environment(), "DRAWBRIDGE_TEST_FLOOD="+floodCount, "DRAWBRIDGE_TEST_FLOOD_REPORT="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	text, err := os.ReadFile(file) //nolint:gosec // our own directory
	if err != nil {
		return err
	}
	var found []struct {
		What  string  `json:"what"`
		Value float64 `json:"value"`
		Unit  string  `json:"unit"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return err
	}
	for _, f := range found {
		b.rows = append(b.rows, row{group: "Flood, SQLite, one SIGKILL in its middle", what: f.What, unit: f.Unit, got: series{f.Value}})
	}
	return nil
}
