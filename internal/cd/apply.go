package cd

import (
	"bytes"
	"context"
)

// KindDelivery is the kind of document that a delivery is.
const KindDelivery = "Delivery"

// Applied is what an apply did, or would do.
type Applied struct {
	Name    string `json:"name"`
	Version int64  `json:"version"` // the newest version now
	Changed bool   `json:"changed"` // false when the file is the newest version already
	Old     string `json:"old"`     // the version before, as it was applied
	New     string `json:"new"`
}

// ApplyDelivery checks a delivery file and keeps it as a new version, unless it is the
// newest already or dry is set. It never deploys: what runs stays until something asks.
func ApplyDelivery(ctx context.Context, docs Documents, actor, file string, src []byte, dry bool) (Applied, error) {
	d, err := ParseDelivery(file, src)
	if err != nil {
		return Applied{}, err
	}
	old, version, err := docs.Newest(ctx, KindDelivery, d.Name)
	if err != nil {
		return Applied{}, err
	}
	a := Applied{Name: d.Name, Version: version, Changed: !bytes.Equal(old, src), Old: string(old), New: string(src)}
	if !a.Changed || dry {
		return a, nil
	}
	a.Version, err = docs.PutDelivery(ctx, actor, d, src, version)
	return a, err
}
