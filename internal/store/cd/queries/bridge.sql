-- name: InsertEvent :execrows
INSERT INTO event (id, source, event_id, state, sender, body, received_ms)
VALUES (@id, @source, @event_id, @state, @sender, @body, @received_ms) ON CONFLICT (source, event_id) DO NOTHING;

-- name: EventBySource :one
SELECT id, state, sender, body, received_ms FROM event WHERE source = @source AND event_id = @event_id;

-- name: Event :one
SELECT id, state, sender, body, received_ms FROM event WHERE id = @id;

-- name: Events :many
SELECT id, state, sender, body, received_ms FROM event WHERE id < @before ORDER BY id DESC LIMIT @page;

-- name: UnprocessedEvents :many
SELECT id FROM event WHERE state = 'received' AND received_ms < @before ORDER BY id LIMIT @page;

-- name: ProcessEvent :execrows
UPDATE event SET state = 'processed' WHERE id = @id AND state = 'received';

-- name: InsertHandoff :exec
INSERT INTO handoff (id, event, application, trigger_by, state, release, body, at_ms)
VALUES (@id, @event, @application, @trigger_by, @state, @release, @body, @at_ms);

-- name: Handoff :one
SELECT id, body FROM handoff WHERE id = @id;

-- name: Handoffs :many
SELECT id, body FROM handoff
WHERE id < @before AND (application = @application OR CAST(@application AS text) = '') AND (state = @state OR CAST(@state AS text) = '')
ORDER BY id DESC LIMIT @page;

-- name: AcceptedHandoff :one
SELECT id, body FROM handoff
WHERE application = @application AND trigger_by = @trigger_by AND release = @release AND state = 'accepted';

-- name: InsertRelease :execrows
INSERT INTO release (id, application, version, body, accepted_ms) VALUES (@id, @application, @version, @body, @accepted_ms)
ON CONFLICT (id) DO NOTHING;

-- name: Release :one
SELECT body FROM release WHERE id = @id;

-- name: ReleaseByVersion :one
SELECT body FROM release WHERE application = @application AND version = @version;

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
