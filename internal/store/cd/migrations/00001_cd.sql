-- +goose Up
CREATE TABLE document (                     -- versioned files that admins apply: deliveries, trust
    kind    text   NOT NULL CHECK (kind IN ('Delivery', 'Trust')),
    name    text   NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    body    bytea  NOT NULL,                -- as it was applied
    actor   text   NOT NULL,
    at_ms   bigint NOT NULL,
    PRIMARY KEY (kind, name, version)
);
CREATE TABLE image (                        -- which application an image's repository concerns
    image       text NOT NULL,
    application text NOT NULL,
    PRIMARY KEY (image, application)
);
CREATE TABLE environment (
    application text   NOT NULL,
    name        text   NOT NULL,
    place       bigint NOT NULL,            -- in the delivery, from 0
    address     text   NOT NULL,            -- host:port; '' until something ran here
    live        bigint NOT NULL,            -- promotion whose release runs here; 0 means none
    active      bigint NOT NULL,            -- promotion that holds the environment; 0 means none
    PRIMARY KEY (application, name)
);
CREATE TABLE event (
    id          bigint NOT NULL PRIMARY KEY,
    source      text   NOT NULL,
    event_id    text   NOT NULL,            -- CloudEvents id: kept once per source
    state       text   NOT NULL CHECK (state IN ('received', 'processed')),
    sender      text   NOT NULL,
    body        text   NOT NULL,            -- what it says, as JSON
    received_ms bigint NOT NULL,
    UNIQUE (source, event_id)
);
CREATE TABLE release (
    id          text   NOT NULL PRIMARY KEY,
    application text   NOT NULL,
    version     text   NOT NULL,
    body        text   NOT NULL,            -- the release as JSON, with the verified evidence
    accepted_ms bigint NOT NULL,
    UNIQUE (application, version)           -- a version names one digest for ever
);
CREATE INDEX release_accepted ON release (accepted_ms);
CREATE TABLE handoff (
    id          bigint NOT NULL PRIMARY KEY,
    event       bigint NOT NULL REFERENCES event (id),
    application text   NOT NULL,
    trigger_by  text   NOT NULL,
    state       text   NOT NULL CHECK (state IN ('accepted', 'refused', 'ignored')),
    release     text   NOT NULL,            -- '' unless a release is known
    body        text   NOT NULL,            -- the handoff as JSON
    at_ms       bigint NOT NULL,
    UNIQUE (event, application, trigger_by)
);
CREATE UNIQUE INDEX handoff_accepted ON handoff (application, trigger_by, release) WHERE state = 'accepted';
CREATE TABLE promotion (
    id          bigint NOT NULL PRIMARY KEY,
    application text   NOT NULL,
    environment text   NOT NULL,
    release     text   NOT NULL REFERENCES release (id),
    state       text   NOT NULL CHECK (state IN ('queued', 'running', 'waiting', 'undoing', 'done', 'undone', 'failed', 'rejected', 'superseded')),
    signal      text   NOT NULL CHECK (signal IN ('', 'approval', 'slot', 'time')),
    reason      text   NOT NULL,
    version     bigint NOT NULL,            -- fence: every change is a compare-and-set on it
    ended       bigint NOT NULL CHECK (ended IN (0, 1)),
    auto        bigint NOT NULL CHECK (auto IN (0, 1)), -- opened by itself: once per release and environment, ever
    plan        text   NOT NULL,            -- frozen
    body        text   NOT NULL             -- the rest of the promotion as JSON
);
CREATE INDEX promotion_environment ON promotion (application, environment, id);
CREATE UNIQUE INDEX promotion_active ON promotion (application, environment, release) WHERE ended = 0;
CREATE UNIQUE INDEX promotion_auto ON promotion (application, environment, release) WHERE auto = 1;
CREATE TABLE decision (                     -- people's words, append-only, one each
    promotion bigint NOT NULL REFERENCES promotion (id),
    actor     text   NOT NULL,
    approve   bigint NOT NULL CHECK (approve IN (0, 1)),
    plan      text   NOT NULL,              -- digest of the plan that was seen
    message   text   NOT NULL,
    at_ms     bigint NOT NULL,
    PRIMARY KEY (promotion, actor)
);
CREATE TABLE bad (                          -- releases that were undone or left by a rollback
    application text   NOT NULL,
    environment text   NOT NULL,
    release     text   NOT NULL,
    promotion   bigint NOT NULL,
    at_ms       bigint NOT NULL,
    PRIMARY KEY (application, environment, release)
);
-- +goose Down
DROP TABLE bad;
DROP TABLE decision;
DROP TABLE promotion;
DROP TABLE handoff;
DROP TABLE release;
DROP TABLE event;
DROP TABLE environment;
DROP TABLE image;
DROP TABLE document;
