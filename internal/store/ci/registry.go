package ci

import (
	"context"
	"fmt"

	"drawbridge/internal/artifact"
	"drawbridge/internal/audit"
	"drawbridge/internal/bridge"
	plane "drawbridge/internal/ci"
	"drawbridge/internal/fault"
	"drawbridge/internal/registry"
	"drawbridge/internal/store"
)

// registrySource is the CloudEvents source of tags that were pushed by hand.
const registrySource = "/registry"

const (
	insertTagSQL = `INSERT INTO tag (repository, name, digest, media_type, artifact_type, actor, at_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (repository, name) DO NOTHING`
	tagDigestSQL = `SELECT digest FROM tag WHERE repository = $1 AND name = $2`
)

// WriteTag implements registry.Rows. The event of a reported tag goes through the outbox.
func (s *Store) WriteTag(ctx context.Context, t registry.Tag) error {
	return s.db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := affected(tx.SQL.ExecContext(ctx, insertTagSQL, t.Repository, t.Name, t.Digest.String(), t.MediaType, t.ArtifactType,
			t.Actor, store.Millis(t.At)))
		if err != nil {
			return fmt.Errorf("insert tag %s of %s: %w", t.Name, t.Repository, err)
		}
		if n == 0 {
			return sameTag(ctx, tx, t)
		}
		ref := artifact.Reference{Repository: t.Repository, Tag: t.Name, Digest: t.Digest}
		entry := audit.Entry{At: t.At, Actor: t.Actor, Action: "tag.write", Subject: "artifact/" + ref.String()}
		if err := tx.Record(ctx, entry); err != nil || !t.Report {
			return err
		}
		key := ref.String()
		body, err := bridge.Published{Source: registrySource, ID: eventID(ref), Artifact: ref, At: t.At}.CloudEvent()
		if err != nil {
			return fmt.Errorf("write the event of %s: %w", key, err)
		}
		return insertEvent(ctx, tx, plane.Event{Source: registrySource, Key: key, Body: body, Created: t.At})
	})
}

// eventID is the id of a tag's event. A tag never moves, so its digest tells it from all
// others; the name is not in it, since an id has at most 256 characters.
func eventID(ref artifact.Reference) string {
	return artifact.DigestOf([]byte(ref.String())).String()
}

// sameTag looks whether the tag that is there is the one that was to be written.
func sameTag(ctx context.Context, tx *store.Tx, t registry.Tag) error {
	var digest string
	if err := tx.SQL.QueryRowContext(ctx, tagDigestSQL, t.Repository, t.Name).Scan(&digest); err != nil {
		return fmt.Errorf("read tag %s of %s: %w", t.Name, t.Repository, err)
	}
	if digest != t.Digest.String() {
		return fault.New(fault.Conflict, "tag %s of %s names %s already; tags do not move", t.Name, t.Repository, digest).
			WithHint("choose a new tag")
	}
	return nil
}

const insertReferrerSQL = `INSERT INTO referrer (repository, subject, manifest, artifact_type, media_type, size, annotations)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (repository, subject, manifest) DO NOTHING`

// AddReferrer implements registry.Rows.
func (s *Store) AddReferrer(ctx context.Context, r registry.Referrer) error {
	annotations, err := jsonText(r.Annotations)
	if err != nil {
		return err
	}
	return s.db.InTx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.SQL.ExecContext(ctx, insertReferrerSQL, r.Repository, r.Subject.String(), r.Manifest.String(), r.ArtifactType,
			r.MediaType, r.Size, annotations)
		if err != nil {
			return fmt.Errorf("insert referrer %s of %s: %w", r.Manifest, r.Repository, err)
		}
		return nil
	})
}

const referrersSQL = `SELECT manifest, artifact_type, media_type, size, annotations FROM referrer
WHERE repository = $1 AND subject = $2 AND ($3 = '' OR artifact_type = $3) AND manifest > $4 ORDER BY manifest LIMIT $5`

// Referrers implements registry.Rows.
func (s *Store) Referrers(ctx context.Context, q registry.ReferrerQuery) ([]registry.Referrer, error) {
	return all(ctx, s.db.Reader(), func(row scanner) (registry.Referrer, error) {
		r := registry.Referrer{Repository: q.Repository, Subject: q.Subject}
		var manifest, annotations string
		if err := row.Scan(&manifest, &r.ArtifactType, &r.MediaType, &r.Size, &annotations); err != nil {
			return r, err
		}
		var err error
		if r.Manifest, err = artifact.ParseDigest(manifest); err != nil {
			return r, err
		}
		return r, fromJSON(annotations, &r.Annotations)
	}, referrersSQL, q.Repository, q.Subject.String(), q.ArtifactType, q.After.String(), limited(q.Limit))
}
