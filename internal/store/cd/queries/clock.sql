-- name: InsertClock :exec
INSERT INTO clock (id, application, name, kind, spec, next_ms, last_ms, failures, reason, state, version)
VALUES (@id, @application, @name, @kind, @spec, @next_ms, 0, 0, '', '', 1);

-- name: MoveClock :execrows
UPDATE clock SET spec = @spec, next_ms = @next_ms, last_ms = @last_ms, failures = @failures, reason = @reason, state = @state, version = @version
WHERE id = @id AND version = @was;

-- name: DropClock :exec
DELETE FROM clock WHERE id = @id;

-- name: Clock :one
SELECT id, application, name, kind, spec, next_ms, last_ms, failures, reason, state, version FROM clock WHERE id = @id;

-- name: Clocks :many
SELECT id, application, name, kind, spec, next_ms, last_ms, failures, reason, state, version FROM clock
WHERE application = @application ORDER BY kind, name;
