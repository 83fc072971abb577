-- +goose Up
CREATE TABLE repository (
    name       text   NOT NULL PRIMARY KEY,
    protected  text   NOT NULL, -- JSON list of ref patterns
    created_ms bigint NOT NULL CHECK (created_ms > 0)
);

CREATE TABLE run (
    id          bigint NOT NULL PRIMARY KEY,
    number      bigint NOT NULL CHECK (number > 0),
    repository  text   NOT NULL REFERENCES repository (name),
    ref         text   NOT NULL,
    old_commit  text   NOT NULL,
    commit_hash text   NOT NULL,
    pusher      text   NOT NULL,
    chain       text   NOT NULL,
    file        text   NOT NULL,
    name        text   NOT NULL,
    source      bytea  NOT NULL,
    state       text   NOT NULL CHECK (state IN ('queued', 'running', 'sealing', 'succeeded', 'failed', 'cancelled')),
    reason      text   NOT NULL,
    pushed_ms   bigint NOT NULL CHECK (pushed_ms > 0),
    created_ms  bigint NOT NULL CHECK (created_ms > 0),
    started_ms  bigint CHECK (started_ms > 0),
    ended_ms    bigint CHECK (ended_ms > 0),
    version     bigint NOT NULL CHECK (version > 0),
    UNIQUE (repository, ref, old_commit, commit_hash, file),
    UNIQUE (repository, number),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (ended_ms IS NOT NULL))
);
CREATE INDEX run_active ON run (id) WHERE state IN ('queued', 'running', 'sealing');

CREATE TABLE job (
    id         bigint NOT NULL PRIMARY KEY,
    run_id     bigint NOT NULL REFERENCES run (id),
    position   bigint NOT NULL,
    job_key    text   NOT NULL,
    name       text   NOT NULL,
    state      text   NOT NULL CHECK (state IN ('waiting', 'running', 'succeeded', 'failed', 'skipped', 'cancelled')),
    reason     text   NOT NULL,
    attempt    bigint NOT NULL CHECK (attempt >= 0),
    outputs    text   NOT NULL, -- JSON object of strings
    facts      text   NOT NULL, -- JSON
    queued_ms  bigint CHECK (queued_ms > 0),
    started_ms bigint CHECK (started_ms > 0),
    ended_ms   bigint CHECK (ended_ms > 0),
    version    bigint NOT NULL CHECK (version > 0),
    UNIQUE (run_id, job_key),
    UNIQUE (run_id, position),
    CHECK ((state IN ('succeeded', 'failed', 'skipped', 'cancelled')) = (ended_ms IS NOT NULL)),
    CHECK (state NOT IN ('running', 'succeeded') OR attempt > 0)
);

CREATE TABLE step (
    job_id     bigint NOT NULL REFERENCES job (id),
    attempt    bigint NOT NULL CHECK (attempt > 0),
    number     bigint NOT NULL CHECK (number > 0),
    name       text   NOT NULL,
    state      text   NOT NULL CHECK (state IN ('succeeded', 'failed', 'skipped', 'cancelled')),
    exit_code  bigint NOT NULL,
    reason     text   NOT NULL,
    summary    text   NOT NULL,
    started_ms bigint NOT NULL CHECK (started_ms > 0),
    ended_ms   bigint NOT NULL CHECK (ended_ms > 0),
    PRIMARY KEY (job_id, attempt, number)
);

CREATE TABLE publication (
    id      bigint NOT NULL PRIMARY KEY,
    run_id  bigint NOT NULL REFERENCES run (id),
    job_id  bigint NOT NULL REFERENCES job (id),
    attempt bigint NOT NULL CHECK (attempt > 0),
    image   text   NOT NULL,
    digest  text   NOT NULL,
    tags    text   NOT NULL, -- JSON list
    sbom    bytea  NOT NULL,
    at_ms   bigint NOT NULL CHECK (at_ms > 0)
);
CREATE INDEX publication_run ON publication (run_id, id);

CREATE TABLE report (
    id      bigint NOT NULL PRIMARY KEY,
    run_id  bigint NOT NULL REFERENCES run (id),
    job_id  bigint NOT NULL REFERENCES job (id),
    attempt bigint NOT NULL CHECK (attempt > 0),
    kind    text   NOT NULL CHECK (kind IN ('tests', 'coverage', 'findings')),
    file    text   NOT NULL,
    body    bytea  NOT NULL
);
CREATE INDEX report_run ON report (run_id, id);

CREATE TABLE bundle (
    run_id    bigint NOT NULL REFERENCES run (id),
    number    bigint NOT NULL CHECK (number > 0),
    artifact  text   NOT NULL,
    predicate text   NOT NULL,
    body      bytea  NOT NULL,
    at_ms     bigint NOT NULL CHECK (at_ms > 0),
    PRIMARY KEY (run_id, number)
);

CREATE TABLE outbox (
    id         bigint NOT NULL PRIMARY KEY,
    source     text   NOT NULL,
    event_key  text   NOT NULL,
    run_id     bigint REFERENCES run (id),
    body       bytea  NOT NULL,
    created_ms bigint NOT NULL CHECK (created_ms > 0),
    posted_ms  bigint CHECK (posted_ms > 0),
    UNIQUE (source, event_key)
);
CREATE INDEX outbox_unposted ON outbox (id) WHERE posted_ms IS NULL;

CREATE TABLE tag (
    repository    text   NOT NULL,
    name          text   NOT NULL,
    digest        text   NOT NULL,
    media_type    text   NOT NULL,
    artifact_type text   NOT NULL,
    actor         text   NOT NULL,
    at_ms         bigint NOT NULL CHECK (at_ms > 0),
    PRIMARY KEY (repository, name)
);

CREATE TABLE referrer (
    repository    text   NOT NULL,
    subject       text   NOT NULL,
    manifest      text   NOT NULL,
    artifact_type text   NOT NULL,
    media_type    text   NOT NULL,
    size          bigint NOT NULL CHECK (size >= 0),
    annotations   text   NOT NULL, -- JSON object of strings
    PRIMARY KEY (repository, subject, manifest)
);

-- What each ref named when its last push was recorded.
CREATE TABLE ref (
    repository  text   NOT NULL REFERENCES repository (name),
    name        text   NOT NULL,
    commit_hash text   NOT NULL,
    PRIMARY KEY (repository, name)
);
