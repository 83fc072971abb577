package price

import (
	"errors"
	"testing"
)

func TestTotal(t *testing.T) {
	for name, test := range map[string]struct {
		lines []Line
		want  Cents
	}{
		"nothing":                {nil, 0},
		"one thing":              {[]Line{{Unit: 1250, Count: 1}}, 1250},
		"two lines":              {[]Line{{Unit: 1250, Count: 2}, {Unit: 99, Count: 1}}, 2599},
		"nine have no discount":  {[]Line{{Unit: 100, Count: 9}}, 900},
		"ten have five percent":  {[]Line{{Unit: 100, Count: 10}}, 950},
		"half a cent rounds up":  {[]Line{{Unit: 1, Count: 10}}, 10},
		"each line has its own":  {[]Line{{Unit: 100, Count: 10}, {Unit: 100, Count: 1}}, 1050},
		"a free thing is a line": {[]Line{{Unit: 0, Count: 3}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Total(test.lines)
			if err != nil || got != test.want {
				t.Errorf("Total(%v) = %v, %v, want %v", test.lines, got, err, test.want)
			}
		})
	}
}

func TestTotalRefuses(t *testing.T) {
	for _, l := range []Line{{Unit: -1, Count: 1}, {Unit: 1, Count: -1}} {
		if _, err := Total([]Line{l}); !errors.Is(err, ErrLine) {
			t.Errorf("Total(%v) error = %v, want %v", l, err, ErrLine)
		}
	}
}

func TestString(t *testing.T) {
	if got := Cents(1205).String(); got != "12.05" {
		t.Errorf("String() = %q, want 12.05", got)
	}
}
