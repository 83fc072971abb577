// Package price calculates what a basket costs.
package price

import (
	"errors"
	"fmt"
)

// Cents is an amount of money.
type Cents int64

// String is the amount in euros, for example "12.50".
func (c Cents) String() string { return fmt.Sprintf("%d.%02d", c/100, c%100) }

// Line is one position of a basket.
type Line struct {
	Unit  Cents // price of one
	Count int   // how many
}

// ErrLine is the error of a line with a negative price or count.
var ErrLine = errors.New("a line has a negative price or count")

// Quantity discount: from so many of one thing on, so many percent off.
const (
	discountFrom    = 10
	discountPercent = 5
)

// Total is the price of a basket: each line less its quantity discount, rounded half up.
func Total(lines []Line) (Cents, error) {
	var sum Cents
	for _, l := range lines {
		if l.Unit < 0 || l.Count < 0 {
			return 0, ErrLine
		}
		amount := l.Unit * Cents(l.Count)
		if l.Count >= discountFrom {
			amount = (amount*(100-discountPercent) + 50) / 100
		}
		sum += amount
	}
	return sum, nil
}
