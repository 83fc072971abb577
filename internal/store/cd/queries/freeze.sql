-- name: InsertFreeze :execrows
INSERT INTO frozen (id, application, environments, trigger_by, alert_key, reason, set_by, since_ms, set_ms, until_ms, open, lifted_ms, lifted_by, lift_reason, ended_ms)
VALUES (@id, @application, @environments, @trigger_by, @alert_key, @reason, @set_by, @since_ms, @set_ms, @until_ms, @open, @lifted_ms, @lifted_by, @lift_reason, @ended_ms) ON CONFLICT DO NOTHING;

-- name: Freeze :one
SELECT id, application, environments, trigger_by, alert_key, reason, set_by, since_ms, set_ms, until_ms, open, lifted_ms, lifted_by, lift_reason, ended_ms FROM frozen
WHERE id = @id AND until_ms > set_ms;

-- name: NewestFreeze :one
SELECT id, application, environments, trigger_by, alert_key, reason, set_by, since_ms, set_ms, until_ms, open, lifted_ms, lifted_by, lift_reason, ended_ms FROM frozen
WHERE application = @application AND trigger_by = @trigger_by AND alert_key = @alert_key ORDER BY id DESC LIMIT 1;

-- name: HoldingFreezes :many
SELECT id, application, environments, trigger_by, alert_key, reason, set_by, since_ms, set_ms, until_ms, open, lifted_ms, lifted_by, lift_reason, ended_ms FROM frozen
WHERE application = @application AND open = 1 AND until_ms > @now_ms ORDER BY id;

-- name: Freezes :many
SELECT id, application, environments, trigger_by, alert_key, reason, set_by, since_ms, set_ms, until_ms, open, lifted_ms, lifted_by, lift_reason, ended_ms FROM frozen
WHERE id < @before AND until_ms > set_ms
  AND (application = @application OR CAST(@application AS text) = '')
  AND (CAST(@past AS bigint) = 1 OR open = 1 AND until_ms > @now_ms)
ORDER BY id DESC LIMIT @page;

-- name: EndFreeze :execrows
UPDATE frozen SET open = 0, lifted_ms = @lifted_ms, lifted_by = @lifted_by, lift_reason = @lift_reason, ended_ms = @ended_ms
WHERE id = @id AND open = @was;

-- name: MovingTo :many
SELECT id, version, environment FROM promotion WHERE application = @application AND ended = 0 ORDER BY id;
