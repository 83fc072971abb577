-- +goose Up
CREATE TABLE document (                     -- versioned files that admins apply
    kind    text   NOT NULL CHECK (kind IN ('Delivery', 'Trust', 'Receiver', 'Policy', 'Workload')),
    name    text   NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    body    bytea  NOT NULL,                -- as it was applied; empty: dropped
    actor   text   NOT NULL,
    at_ms   bigint NOT NULL,
    PRIMARY KEY (kind, name, version)
);
CREATE TABLE receiver_secret (              -- sealed before they come here
    id       bigint NOT NULL PRIMARY KEY,
    name     text   NOT NULL,               -- the receiver's
    sealed   bytea  NOT NULL,
    made_ms  bigint NOT NULL,
    until_ms bigint NOT NULL                -- 0: the present one; else an older one, valid until then
);
CREATE INDEX receiver_secret_name ON receiver_secret (name);
CREATE TABLE concern (                      -- which applications a fact concerns, by its keys
    key         text NOT NULL,
    application text NOT NULL,
    PRIMARY KEY (key, application)
);
CREATE INDEX concern_application ON concern (application);
CREATE TABLE environment (
    application text   NOT NULL,
    name        text   NOT NULL,
    place       bigint NOT NULL,            -- in the delivery, from 0
    address     text   NOT NULL,            -- host:port; '' until something ran here
    live        bigint NOT NULL,            -- promotion whose release runs here; 0 means none
    active      bigint NOT NULL,            -- promotion that holds the environment; 0 means none
    PRIMARY KEY (application, name)
);
CREATE TABLE event (                        -- one fact of a delivery of a sender
    id           bigint NOT NULL PRIMARY KEY,
    receiver     text   NOT NULL,
    sender       text   NOT NULL,
    event_key    text   NOT NULL,           -- the sender's id of its delivery, or the digest of its body
    part         bigint NOT NULL CHECK (part >= 0),
    state        text   NOT NULL CHECK (state IN ('received', 'processed', 'dead')),
    applications text   NOT NULL,           -- JSON array of those that it may concern; '': all
    image        text   NOT NULL,           -- repository of the artifact that it tells of; '': none
    body         text   NOT NULL,           -- the fact as JSON
    reason       text   NOT NULL,
    attempts     bigint NOT NULL,           -- tries that failed
    received_ms  bigint NOT NULL,
    UNIQUE (receiver, sender, event_key, part)
);
CREATE INDEX event_state ON event (state, id) WHERE state <> 'processed';
CREATE INDEX event_image ON event (image, id) WHERE image <> '';
CREATE TABLE event_raw (                    -- deliveries as they arrived, for a while
    event       bigint NOT NULL PRIMARY KEY, -- the first part
    headers     text   NOT NULL,            -- JSON object
    body        bytea  NOT NULL,
    upto        bigint NOT NULL,            -- bytes that were ever kept, with this one: grows with event
    received_ms bigint NOT NULL
);
CREATE TABLE release (
    id            text   NOT NULL PRIMARY KEY,
    application   text   NOT NULL,
    version       text   NOT NULL,
    source_commit text   NOT NULL,          -- that its provenance names; '': none
    body          text   NOT NULL,          -- the release as JSON, with the verified evidence
    accepted_ms   bigint NOT NULL,
    UNIQUE (application, version)           -- a version names one set of digests for ever
);
CREATE INDEX release_accepted ON release (accepted_ms);
CREATE INDEX release_commit ON release (application, source_commit) WHERE source_commit <> '';
CREATE TABLE handoff (
    id          bigint NOT NULL PRIMARY KEY,
    event       bigint NOT NULL REFERENCES event (id),
    application text   NOT NULL,
    trigger_by  text   NOT NULL,            -- '': a person who needs none
    state       text   NOT NULL CHECK (state IN ('waiting', 'accepted', 'refused', 'ignored')),
    release     text   NOT NULL,            -- '' unless one release is known
    once        text   NOT NULL,            -- the trigger accepts once under it; '': no bound
    body        text   NOT NULL,            -- the handoff as JSON
    at_ms       bigint NOT NULL,
    look_ms     bigint NOT NULL,            -- of a waiting one: when it is looked at again; else 0
    UNIQUE (event, application, trigger_by)
);
CREATE UNIQUE INDEX handoff_once ON handoff (application, trigger_by, once) WHERE state = 'accepted' AND once <> '';
CREATE INDEX handoff_waiting ON handoff (application, id) WHERE state = 'waiting';
CREATE INDEX handoff_trigger ON handoff (application, trigger_by, id);
CREATE INDEX handoff_accepted ON handoff (application, trigger_by, at_ms) WHERE state = 'accepted';
CREATE TABLE trigger_state (                -- triggers that are paused
    application text   NOT NULL,
    trigger_by  text   NOT NULL,
    paused_by   text   NOT NULL,
    reason      text   NOT NULL,
    at_ms       bigint NOT NULL,
    PRIMARY KEY (application, trigger_by)
);
CREATE TABLE expectation (                  -- what Git repositories state, per environment
    application text   NOT NULL,
    environment text   NOT NULL,
    trigger_by  text   NOT NULL,
    body        text   NOT NULL,            -- the expectation as JSON
    at_ms       bigint NOT NULL,
    PRIMARY KEY (application, environment)
);
CREATE TABLE clock (                        -- when something of an application is due
    id          bigint NOT NULL PRIMARY KEY,
    application text   NOT NULL,
    name        text   NOT NULL,
    kind        text   NOT NULL CHECK (kind IN ('schedule', 'registry', 'git')),
    spec        text   NOT NULL,            -- what it was set by
    next_ms     bigint NOT NULL,            -- 0: never
    last_ms     bigint NOT NULL,            -- 0: it has not rung
    failures    bigint NOT NULL,            -- in a row
    reason      text   NOT NULL,
    state       text   NOT NULL,            -- what was seen before, as JSON; '': nothing
    version     bigint NOT NULL,            -- fence: every change is a compare-and-set on it
    UNIQUE (application, kind, name)
);
CREATE INDEX clock_next ON clock (next_ms) WHERE next_ms > 0;
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
DROP TABLE clock;
DROP TABLE expectation;
DROP TABLE trigger_state;
DROP TABLE handoff;
DROP TABLE release;
DROP TABLE event_raw;
DROP TABLE event;
DROP TABLE environment;
DROP TABLE concern;
DROP TABLE receiver_secret;
DROP TABLE document;
