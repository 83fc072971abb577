-- +goose Up
-- The table cannot be called freeze, which is a word of PostgreSQL.
CREATE TABLE frozen (                       -- what keeps promotions out of environments; rows stay
    id           bigint NOT NULL PRIMARY KEY,
    application  text   NOT NULL,
    environments text   NOT NULL,           -- JSON array of names; "*": every one
    trigger_by   text   NOT NULL,           -- '': a person set it
    alert_key    text   NOT NULL,           -- of the alert; '': a person set it
    reason       text   NOT NULL,
    set_by       text   NOT NULL,
    since_ms     bigint NOT NULL,           -- when the alert began, by its sender; 0: not known
    set_ms       bigint NOT NULL,
    until_ms     bigint NOT NULL CHECK (until_ms >= set_ms), -- equal: the alert's end came first, and nothing was frozen
    open         bigint NOT NULL CHECK (open IN (0, 1)), -- 0: lifted, ended or followed by another
    lifted_ms    bigint NOT NULL,           -- 0: it was not lifted
    lifted_by    text   NOT NULL,
    lift_reason  text   NOT NULL,
    ended_ms     bigint NOT NULL            -- when the alert ended, by its sender; 0: not known
);
CREATE UNIQUE INDEX freeze_open ON frozen (application, trigger_by, alert_key) WHERE open = 1 AND trigger_by <> '';
CREATE INDEX freeze_holding ON frozen (application, until_ms) WHERE open = 1;
CREATE INDEX freeze_key ON frozen (application, trigger_by, alert_key, id);
-- +goose Down
DROP TABLE frozen;
