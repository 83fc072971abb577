-- name: InsertPromotion :execrows
INSERT INTO promotion (id, application, environment, release, state, signal, reason, version, ended, auto, plan, body)
VALUES (@id, @application, @environment, @release, @state, @signal, @reason, @version, 0, @auto, @plan, @body)
ON CONFLICT DO NOTHING;

-- name: Promotion :one
SELECT id, state, signal, reason, version, plan, body FROM promotion WHERE id = @id;

-- name: ActivePromotion :one
SELECT id, state, signal, reason, version, plan, body FROM promotion
WHERE application = @application AND environment = @environment AND release = @release AND ended = 0;

-- name: CountAuto :one
SELECT count(*) FROM promotion WHERE application = @application AND environment = @environment AND release = @release AND auto = 1;

-- name: Promotions :many
SELECT id, state, signal, reason, version, plan, body FROM promotion
WHERE id < @before
  AND (application = @application OR CAST(@application AS text) = '')
  AND (environment = @environment OR CAST(@environment AS text) = '')
  AND (release = @release OR CAST(@release AS text) = '')
  AND (state = @state OR CAST(@state AS text) = '')
  AND (ended = 0 OR CAST(@active AS bigint) = 0)
ORDER BY id DESC LIMIT @page;

-- name: MovePromotion :execrows
UPDATE promotion SET state = @state, signal = @signal, reason = @reason, version = @version, ended = @ended, body = @body
WHERE id = @id AND version = @was;

-- name: NotePromotion :execrows
UPDATE promotion SET reason = @reason WHERE id = @id AND version = @version;

-- name: ReplaceBody :execrows
UPDATE promotion SET body = @body WHERE id = @id AND version = @version;

-- name: HeldUp :many
SELECT id, version FROM promotion
WHERE application = @application AND ended = 0 AND (state = 'queued' OR signal = 'slot') ORDER BY id;

-- name: ActiveIDs :many
SELECT id, version FROM promotion WHERE ended = 0 AND id > @after ORDER BY id LIMIT @page;

-- name: InsertDecision :exec
INSERT INTO decision (promotion, actor, approve, plan, message, at_ms) VALUES (@promotion, @actor, @approve, @plan, @message, @at_ms);

-- name: Decisions :many
SELECT actor, approve, plan, message, at_ms FROM decision WHERE promotion = @promotion ORDER BY at_ms, actor;
