-- name: Document :one
SELECT version, body FROM document WHERE kind = @kind AND name = @name AND version = @version;

-- name: NewestDocument :one
SELECT version, body FROM document WHERE kind = @kind AND name = @name ORDER BY version DESC LIMIT 1;

-- name: InsertDocument :execrows
INSERT INTO document (kind, name, version, body, actor, at_ms) VALUES (@kind, @name, @version, @body, @actor, @at_ms)
ON CONFLICT DO NOTHING;

-- name: DocumentNames :many
SELECT DISTINCT name FROM document WHERE kind = @kind AND name > @after ORDER BY name LIMIT @page;

-- name: DropImages :exec
DELETE FROM image WHERE application = @application;

-- name: InsertImage :exec
INSERT INTO image (image, application) VALUES (@image, @application) ON CONFLICT DO NOTHING;

-- name: Concerned :many
SELECT application FROM image WHERE image = @image ORDER BY application;
