// Package registry speaks OCI: an embedded registry that the server runs, and a client
// for it and for any other registry.
//
// The embedded registry ([Open]) is the distribution project's registry as a library,
// which keeps blobs and manifests below a directory, behind a handler of ours that adds
// what a place of immutable artifacts needs: tags that never move, nothing that is ever
// deleted, the OCI 1.1 referrers API, and a row for every tag and referrer. A tag write is
// answered only after its row, and with it the event that tells the bridge, is committed:
// the order is manifest, tag, row, answer. A crash in between leaves a tag that nobody was
// told of; the client, which got no answer, repeats and the row is written then.
//
// The client ([NewClient]) pushes by digest, attaches bundles, sets tags and reads evidence
// back. It checks every byte against its digest, bounds everything that it reads, and
// talks plain HTTP to this server's registry and to loopback hosts only.
package registry
