-- name: InsertHandoff :execrows
INSERT INTO handoff (id, event, application, trigger_by, state, release, once, body, at_ms, look_ms)
VALUES (@id, @event, @application, @trigger_by, @state, @release, @once, @body, @at_ms, @look_ms) ON CONFLICT DO NOTHING;

-- name: SettleHandoff :execrows
UPDATE handoff SET state = @state, release = @release, once = @once, body = @body, at_ms = @at_ms, look_ms = @look_ms
WHERE id = @id AND state = 'waiting';

-- name: Handoff :one
SELECT id, body FROM handoff WHERE id = @id;

-- name: Handoffs :many
SELECT id, body FROM handoff
WHERE id < @before
  AND (application = @application OR CAST(@application AS text) = '')
  AND (trigger_by = @trigger_by OR CAST(@trigger_by AS text) = '')
  AND (state = @state OR CAST(@state AS text) = '')
  AND (event = @event OR CAST(@event AS bigint) = 0)
ORDER BY id DESC LIMIT @page;

-- name: WaitingHandoffs :many
SELECT id FROM handoff WHERE application = @application AND state = 'waiting' ORDER BY id DESC LIMIT @page;

-- name: AcceptedOnce :one
SELECT id, body FROM handoff
WHERE application = @application AND trigger_by = @trigger_by AND once = @once AND state = 'accepted' AND once <> '';

-- name: AcceptedLast :one
SELECT id, body FROM handoff
WHERE application = @application AND trigger_by = @trigger_by AND state = 'accepted' ORDER BY at_ms DESC, id DESC LIMIT 1;

-- name: NewestHandoffs :many
SELECT h.id, h.trigger_by, h.body FROM handoff h
WHERE h.id IN (SELECT max(o.id) FROM handoff o WHERE o.application = @application GROUP BY o.trigger_by) ORDER BY h.trigger_by;

-- name: PutExpectation :execrows
INSERT INTO expectation (application, environment, trigger_by, body, at_ms) VALUES (@application, @environment, @trigger_by, @body, @at_ms)
ON CONFLICT (application, environment) DO UPDATE SET trigger_by = excluded.trigger_by, body = excluded.body, at_ms = excluded.at_ms
WHERE expectation.at_ms <= excluded.at_ms;

-- name: Expectations :many
SELECT body FROM expectation WHERE application = @application ORDER BY environment;

-- name: PutPause :exec
INSERT INTO trigger_state (application, trigger_by, paused_by, reason, at_ms) VALUES (@application, @trigger_by, @paused_by, @reason, @at_ms)
ON CONFLICT (application, trigger_by) DO UPDATE SET paused_by = excluded.paused_by, reason = excluded.reason, at_ms = excluded.at_ms;

-- name: DropPause :execrows
DELETE FROM trigger_state WHERE application = @application AND trigger_by = @trigger_by;

-- name: Pause :one
SELECT paused_by, reason, at_ms FROM trigger_state WHERE application = @application AND trigger_by = @trigger_by;
