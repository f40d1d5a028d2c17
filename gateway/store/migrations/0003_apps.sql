-- Apps that are registered while Portico runs, and why apps were refused.

-- +goose Up
CREATE TABLE apps (
    id           TEXT   NOT NULL PRIMARY KEY,
    state        TEXT   NOT NULL, -- pending, approved or suspended
    origin       TEXT   NOT NULL,
    revision     BIGINT NOT NULL,
    created      BIGINT NOT NULL,
    decided      BIGINT NOT NULL,
    decided_by   TEXT   NOT NULL,
    why          TEXT   NOT NULL,
    registration BLOB   NOT NULL, -- SHA-256 of its registration access token, empty when none
    secret_hash  TEXT   NOT NULL, -- argon2id, empty when none
    metadata     TEXT   NOT NULL  -- JSON: what the app says of itself
);
CREATE INDEX apps_state ON apps (state, created);

CREATE TABLE refusals (
    reference TEXT   NOT NULL PRIMARY KEY,
    client    TEXT   NOT NULL,
    at        BIGINT NOT NULL,
    place     TEXT   NOT NULL,
    code      TEXT   NOT NULL,
    reason    TEXT   NOT NULL,
    expires   BIGINT NOT NULL
);
CREATE INDEX refusals_client ON refusals (client, at);
CREATE INDEX refusals_expires ON refusals (expires);
