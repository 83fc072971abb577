-- name: Event :one
SELECT id, receiver, sender, event_key, part, state, applications, body, reason, attempts, received_ms FROM event WHERE id = @id;

-- name: EventParts :many
SELECT id, receiver, sender, event_key, part, state, applications, body, reason, attempts, received_ms FROM event
WHERE receiver = @receiver AND sender = @sender AND event_key = @event_key ORDER BY part;

-- name: Events :many
SELECT e.id, e.receiver, e.sender, e.event_key, e.part, e.state, e.applications, e.body, e.reason, e.attempts, e.received_ms FROM event e
WHERE e.id < @before
  AND (e.state = @state OR CAST(@state AS text) = '')
  AND (e.receiver = @receiver OR CAST(@receiver AS text) = '')
  AND (CAST(@application AS text) = '' OR EXISTS (SELECT 1 FROM handoff h WHERE h.event = e.id AND h.application = @application))
ORDER BY e.id DESC LIMIT @page;

-- name: EventsWaiting :many
SELECT e.id, e.receiver, e.sender, e.event_key, e.part, e.state, e.applications, e.body, e.reason, e.attempts, e.received_ms FROM event e
WHERE e.id < @before AND e.state = @state AND e.state <> 'processed'
  AND (e.receiver = @receiver OR CAST(@receiver AS text) = '')
  AND (CAST(@application AS text) = '' OR EXISTS (SELECT 1 FROM handoff h WHERE h.event = e.id AND h.application = @application))
ORDER BY e.id DESC LIMIT @page;

-- name: Published :many
SELECT id, receiver, sender, event_key, part, state, applications, body, reason, attempts, received_ms FROM event
WHERE image = @image AND image <> '' ORDER BY id DESC LIMIT @page;

-- name: ProcessEvent :execrows
UPDATE event SET state = 'processed', reason = '' WHERE id = @id AND state = 'received';

-- name: FailEvent :execrows
UPDATE event SET state = @state, reason = @reason, attempts = @attempts WHERE id = @id AND state = 'received';

-- name: ReviveEvent :execrows
UPDATE event SET state = 'received', attempts = 0, body = @body, image = @image WHERE id = @id AND state = @was;

-- name: Raw :one
SELECT r.headers, r.body FROM event e
JOIN event f ON f.receiver = e.receiver AND f.sender = e.sender AND f.event_key = e.event_key AND f.part IN (0, e.part)
JOIN event_raw r ON r.event = f.id
WHERE e.id = @id ORDER BY r.event DESC LIMIT 1;

-- name: NewestRaw :one
SELECT upto FROM event_raw ORDER BY event DESC LIMIT 1;

-- name: PruneRaw :execrows
DELETE FROM event_raw WHERE event_raw.event IN (SELECT old.event FROM event_raw old ORDER BY old.event LIMIT @page)
AND (event_raw.received_ms < @before_ms OR event_raw.upto <= @upto);
