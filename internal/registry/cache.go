package registry

import (
	"bytes"
	"container/list"
	"sync"

	"drawbridge/internal/artifact"
)

// cache keeps the most recently used contents by digest, up to a number of bytes.
type cache struct {
	mu      sync.Mutex
	size    int64
	free    int64
	entries map[artifact.Digest]*list.Element
	used    list.List // of *cached, most recently used first
}

type cached struct {
	digest    artifact.Digest
	body      []byte
	mediaType string
}

// overhead is what an entry costs beside its content, roughly, bytes.
const overhead = 256

func newCache(size int64) *cache {
	return &cache{size: size, free: size, entries: map[artifact.Digest]*list.Element{}}
}

// get returns a copy of what is kept under d.
func (c *cache) get(d artifact.Digest) (body []byte, mediaType string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[d]
	if !ok {
		return nil, "", false
	}
	c.used.MoveToFront(e)
	kept := e.Value.(*cached) //nolint:errcheck // the list holds nothing else
	return bytes.Clone(kept.body), kept.mediaType, true
}

// put keeps a copy of body, which has the digest d. What is bigger than the whole cache is
// not kept.
func (c *cache) put(d artifact.Digest, body []byte, mediaType string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[d]; ok || int64(len(body))+overhead > c.size {
		return
	}
	c.entries[d] = c.used.PushFront(&cached{d, bytes.Clone(body), mediaType})
	c.free -= int64(len(body)) + overhead
	for c.free < 0 {
		last := c.used.Back()
		old := c.used.Remove(last).(*cached) //nolint:errcheck // the list holds nothing else
		delete(c.entries, old.digest)
		c.free += int64(len(old.body)) + overhead
	}
}
