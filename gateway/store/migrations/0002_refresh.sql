-- Refresh tokens, and the ids of client assertions that were used. Both are
-- kept as SHA-256 only.

-- +goose Up
CREATE TABLE refresh_tokens (
    digest   BLOB   NOT NULL PRIMARY KEY,
    grant_id TEXT   NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    issued   BIGINT NOT NULL,
    expires  BIGINT NOT NULL,
    used     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires);

CREATE TABLE client_assertions (
    issuer  TEXT   NOT NULL,
    id      BLOB   NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (issuer, id)
);
CREATE INDEX client_assertions_expires ON client_assertions (expires);
