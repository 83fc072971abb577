-- name: PutEnvironment :exec
INSERT INTO environment (application, name, place, address, live, active) VALUES (@application, @name, @place, '', 0, 0)
ON CONFLICT (application, name) DO UPDATE SET place = excluded.place;

-- name: Environment :one
SELECT application, name, place, address, live, active FROM environment WHERE application = @application AND name = @name;

-- name: Environments :many
SELECT application, name, place, address, live, active FROM environment
WHERE application = @application OR CAST(@application AS text) = '' ORDER BY application, place, name;

-- name: TakeEnvironment :execrows
UPDATE environment SET active = @active WHERE application = @application AND name = @name AND active = 0;

-- name: FreeEnvironment :execrows
UPDATE environment SET active = 0 WHERE application = @application AND name = @name AND active = @active;

-- name: SetLive :exec
UPDATE environment SET live = @live WHERE application = @application AND name = @name;

-- name: SetAddress :exec
UPDATE environment SET address = @address WHERE application = @application AND name = @name;

-- name: LockEnvironment :one
UPDATE environment SET active = active WHERE application = @application AND name = @name RETURNING active;
