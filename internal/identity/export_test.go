package identity

import (
	"maps"
	"slices"
)

// Matches is for the tests of patterns.
var Matches = matches

// Actions lists every action.
func Actions() []Action { return slices.Sorted(maps.Keys(may)) }
