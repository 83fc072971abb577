package attest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Coverage is the share of an artifact's source that its tests ran through.
type Coverage struct {
	Line     float64 `json:"line"`     // 0 to 1
	Covered  int64   `json:"covered"`  // lines or statements that ran
	Total    int64   `json:"total"`    // lines or statements in all; 0 where only the share is known
	Observed bool    `json:"observed"` // the service saw it; false: the job claimed it
}

// Type is TypeCoverage.
func (Coverage) Type() string { return TypeCoverage }

// Known reports whether there was anything to cover: without it there is no share.
func (c Coverage) Known() bool { return c.Total > 0 || c.Line > 0 }

// parseCoverage refuses a share that its own counts contradict by more than rounding.
func parseCoverage(raw []byte) (Coverage, error) {
	const rounding = 0.005
	var c Coverage
	if err := json.Unmarshal(raw, &c); err != nil {
		return Coverage{}, fmt.Errorf("it is no coverage: %w", err)
	}
	switch {
	case c.Line < 0 || c.Line > 1:
		return Coverage{}, fmt.Errorf("line is %g, not between 0 and 1", c.Line)
	case c.Covered < 0 || c.Total < 0 || c.Covered > c.Total:
		return Coverage{}, fmt.Errorf("covered is %d of %d", c.Covered, c.Total)
	case c.Total > 0 && math.Abs(c.Line-float64(c.Covered)/float64(c.Total)) > rounding:
		return Coverage{}, errors.New("line is not covered divided by total")
	}
	return c, nil
}

// worse is the coverage that a gate must reckon with where both were stated.
func (c Coverage) worse(o Coverage) Coverage {
	bad := c
	if o.Line < c.Line {
		bad = o
	}
	bad.Observed = c.Observed && o.Observed
	return bad
}
