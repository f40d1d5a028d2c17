-- Launches from the EHR, pushed requests, and what a sign-in must be. Texts
-- named "JSON" are objects, and '' when there is nothing.

-- +goose Up
ALTER TABLE pending_requests ADD COLUMN sign_in TEXT NOT NULL DEFAULT ''; -- JSON
ALTER TABLE pending_requests ADD COLUMN launch TEXT NOT NULL DEFAULT ''; -- JSON
ALTER TABLE grants ADD COLUMN context TEXT NOT NULL DEFAULT ''; -- JSON, as in the token response

ALTER TABLE sessions ADD COLUMN acr TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN amr TEXT NOT NULL DEFAULT ''; -- JSON array
ALTER TABLE sessions ADD COLUMN sid TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN id_token TEXT NOT NULL DEFAULT ''; -- sealed
CREATE INDEX sessions_person ON sessions (issuer, subject);

CREATE TABLE launches (
    digest  BLOB   NOT NULL PRIMARY KEY,
    source  TEXT   NOT NULL,
    client  TEXT   NOT NULL, -- '': any
    context TEXT   NOT NULL, -- JSON
    expires BIGINT NOT NULL
);
CREATE INDEX launches_expires ON launches (expires);

CREATE TABLE pushed_requests (
    digest  BLOB   NOT NULL PRIMARY KEY,
    client  TEXT   NOT NULL,
    params  TEXT   NOT NULL, -- form-encoded, without credentials
    expires BIGINT NOT NULL
);
CREATE INDEX pushed_requests_expires ON pushed_requests (expires);

-- Logout tokens that were used, so that none counts twice.
CREATE TABLE logout_tokens (
    digest  BLOB   NOT NULL PRIMARY KEY,
    expires BIGINT NOT NULL
);
CREATE INDEX logout_tokens_expires ON logout_tokens (expires);
