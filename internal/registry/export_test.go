package registry

import (
	"compress/gzip"
	"context"
	"io"
)

// BuildLayerForTest is the tar inside the layer that Push would push.
func BuildLayerForTest(ctx context.Context, temp string, content io.Reader, limits Limits) ([]byte, error) {
	l, err := buildLayer(ctx, temp, content, limits.withDefaults())
	if err != nil {
		return nil, err
	}
	defer l.close()
	z, err := gzip.NewReader(l.body().open())
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
