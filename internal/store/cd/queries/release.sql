-- name: InsertRelease :execrows
INSERT INTO release (id, application, version, source_commit, body, accepted_ms)
VALUES (@id, @application, @version, @source_commit, @body, @accepted_ms) ON CONFLICT DO NOTHING;

-- name: ReleaseVersion :one
SELECT version FROM release WHERE id = @id;

-- name: Release :one
SELECT body FROM release WHERE id = @id;

-- name: ReleaseIn :one
SELECT body FROM release WHERE id = @id AND application = @application;

-- name: ReleaseByVersion :one
SELECT body FROM release WHERE application = @application AND version = @version;

-- name: ReleaseOf :one
SELECT body FROM release WHERE application = @application AND source_commit = @source_commit AND source_commit <> ''
ORDER BY accepted_ms DESC, id DESC LIMIT 1;

-- name: Runs :one
SELECT r.body FROM environment e JOIN promotion p ON p.id = e.live JOIN release r ON r.id = p.release
WHERE e.application = @application AND e.name = @name;

-- name: ReleasesByPrefix :many
SELECT body FROM release WHERE id >= @low AND id < @high ORDER BY id LIMIT 2;

-- name: Releases :many
SELECT body, accepted_ms FROM release
WHERE (application = @application OR CAST(@application AS text) = '')
  AND (accepted_ms < @before_ms OR accepted_ms = @before_ms AND id < CAST(@before_id AS text))
ORDER BY accepted_ms DESC, id DESC LIMIT @page;

-- name: InsertBad :exec
INSERT INTO bad (application, environment, release, promotion, at_ms) VALUES (@application, @environment, @release, @promotion, @at_ms)
ON CONFLICT DO NOTHING;

-- name: CountBad :one
SELECT count(*) FROM bad WHERE application = @application AND environment = @environment AND release = @release;
