package cd_test

import (
	"testing"

	"drawbridge/internal/cd"
)

// What is read of a delivery that was applied before gives no panic, whatever it holds.
func TestReadDelivery(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: drawbridge/v1\nkind: Delivery\nname: shop\n"
	for src, good := range map[string]bool{
		head + "artifacts: [{name: web, image: shop/web}]\ntriggers: [{name: t, on: tomorrow, promote: nowhere, when: '(('}]\nenvironments: [{name: dev}]\n": true,
		head + "artifacts: [{name: web, package: {}}]\n":       true,
		head + "artifacts: [{name: web, image: 'SHOP WEB'}]\n": false,
		head + "artifact: 1\n":                                 false,
		"[":                                                    false,
	} {
		d, err := cd.ReadDelivery("shop", []byte(src))
		if (err == nil) != good {
			t.Errorf("ReadDelivery(%q) = %v", src, err)
		}
		if err == nil {
			_ = d.Application(1)
		}
	}
}
