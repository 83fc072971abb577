-- +goose Up
CREATE TABLE plane (                        -- which plane owns this database: one row
    name text NOT NULL PRIMARY KEY CHECK (name IN ('ci', 'cd'))
);
CREATE TABLE counter (                      -- ids, per noun: the last one given out
    noun text   NOT NULL PRIMARY KEY,
    n    bigint NOT NULL CHECK (n > 0)
);
CREATE TABLE timer (                        -- waiting is a row: one timer per thing
    name    text   NOT NULL,
    id      bigint NOT NULL,
    version bigint NOT NULL,
    queue   text   NOT NULL,
    due_ms  bigint NOT NULL,
    PRIMARY KEY (name, id)
);
CREATE INDEX timer_due ON timer (due_ms);
CREATE TABLE replica (                      -- heartbeats, so that a dead replica's jobs are freed in seconds
    id      text   NOT NULL PRIMARY KEY,
    seen_ms bigint NOT NULL
);
CREATE TABLE audit_entry (
    seq  bigint NOT NULL PRIMARY KEY CHECK (seq > 0),
    body bytea  NOT NULL
);
CREATE TABLE audit_node (                   -- hashes of the Merkle tree, by stored hash index
    id   bigint NOT NULL PRIMARY KEY CHECK (id >= 0),
    hash bytea  NOT NULL
);
CREATE TABLE audit_checkpoint (             -- a signed note per transaction, by the log's size then
    size bigint NOT NULL PRIMARY KEY CHECK (size > 0),
    note bytea  NOT NULL
);
CREATE TABLE token (
    id         bigint NOT NULL PRIMARY KEY,
    name       text   NOT NULL,
    role       text   NOT NULL,
    hash       bytea  NOT NULL UNIQUE,      -- SHA-256 of the secret
    last_four  text   NOT NULL,
    created_by text   NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    revoked_ms bigint,
    scope      text,                        -- JSON array of application names; NULL: all
    subject    text   NOT NULL              -- whom a workload's issuer named; '' for other tokens
);
CREATE INDEX token_workload ON token (expires_ms) WHERE subject <> '';
-- +goose Down
DROP TABLE token;
DROP TABLE audit_checkpoint;
DROP TABLE audit_node;
DROP TABLE audit_entry;
DROP TABLE replica;
DROP TABLE timer;
DROP TABLE counter;
DROP TABLE plane;
