-- name: Document :one
SELECT version, body FROM document WHERE kind = @kind AND name = @name AND version = @version;

-- name: NewestDocument :one
SELECT version, body FROM document WHERE kind = @kind AND name = @name ORDER BY version DESC LIMIT 1;

-- name: NewestVersion :one
SELECT version FROM document WHERE kind = @kind AND name = @name ORDER BY version DESC LIMIT 1;

-- name: InsertDocument :execrows
INSERT INTO document (kind, name, version, body, actor, at_ms) VALUES (@kind, @name, @version, @body, @actor, @at_ms)
ON CONFLICT DO NOTHING;

-- name: DocumentNames :many
SELECT d.name FROM document d WHERE d.kind = @kind AND d.name > @after AND length(d.body) > 0
  AND d.version = (SELECT max(n.version) FROM document n WHERE n.kind = d.kind AND n.name = d.name)
ORDER BY d.name LIMIT @page;

-- name: Documents :many
SELECT d.name, d.version, d.body FROM document d WHERE d.kind = @kind AND d.name > @after AND length(d.body) > 0
  AND d.version = (SELECT max(n.version) FROM document n WHERE n.kind = d.kind AND n.name = d.name)
ORDER BY d.name LIMIT @page;

-- name: DropConcerns :exec
DELETE FROM concern WHERE application = @application;

-- name: InsertConcern :exec
INSERT INTO concern (key, application) VALUES (@key, @application) ON CONFLICT DO NOTHING;

-- name: Concerned :many
SELECT application FROM concern WHERE key = @key;

-- name: InsertReceiverSecret :exec
INSERT INTO receiver_secret (id, name, sealed, made_ms, until_ms) VALUES (@id, @name, @sealed, @made_ms, 0);

-- name: EndReceiverSecrets :exec
UPDATE receiver_secret SET until_ms = @until_ms WHERE name = @name AND until_ms = 0;

-- name: DropReceiverSecrets :exec
DELETE FROM receiver_secret WHERE name = @name AND until_ms > 0 AND until_ms <= @now_ms;

-- name: DropAllReceiverSecrets :exec
DELETE FROM receiver_secret WHERE name = @name;

-- name: ReceiverSecrets :many
SELECT sealed FROM receiver_secret WHERE name = @name AND (until_ms = 0 OR until_ms > @now_ms) ORDER BY id DESC;
