package audit

import (
	"context"
	"iter"
)

// Source is a log that can be read: one fixed state of it, for as long as it is used. An
// iteration ends after the first error.
type Source interface {
	// Entries yields the rows in the order of their Seq.
	Entries(ctx context.Context) iter.Seq2[Row, error]
	// Nodes yields the stored hashes in the order of their index. A source that keeps
	// none, as an export does, returns nil.
	Nodes(ctx context.Context) iter.Seq2[Node, error]
	// Checkpoints yields the signed checkpoints in the order of their size.
	Checkpoints(ctx context.Context) iter.Seq2[Checkpoint, error]
}
