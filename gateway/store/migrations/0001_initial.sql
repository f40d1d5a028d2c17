-- The first schema. Types and statements are those that SQLite and PostgreSQL
-- share, but for BLOB (BYTEA there) and the bodies of triggers. Times are
-- microseconds since 1970 in UTC; 0 is "none". Tokens, codes and session
-- cookies are kept as SHA-256 only.

-- +goose Up
CREATE TABLE grants (
    id             TEXT   NOT NULL PRIMARY KEY,
    client         TEXT   NOT NULL,
    source         TEXT   NOT NULL,
    patient        TEXT   NOT NULL,
    person_issuer  TEXT   NOT NULL,
    person_subject TEXT   NOT NULL,
    fhir_user      TEXT   NOT NULL,
    scopes         TEXT   NOT NULL,
    auth_time      BIGINT NOT NULL,
    created        BIGINT NOT NULL,
    expires        BIGINT NOT NULL,
    revoked        BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX grants_expires ON grants (expires);
CREATE INDEX grants_person ON grants (person_issuer, person_subject);

CREATE TABLE codes (
    digest       BLOB   NOT NULL PRIMARY KEY,
    grant_id     TEXT   NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri TEXT   NOT NULL,
    challenge    TEXT   NOT NULL,
    nonce        TEXT   NOT NULL,
    expires      BIGINT NOT NULL,
    used         BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX codes_grant ON codes (grant_id);

CREATE TABLE access_tokens (
    digest   BLOB   NOT NULL PRIMARY KEY,
    grant_id TEXT   NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scopes   TEXT   NOT NULL,
    issued   BIGINT NOT NULL,
    expires  BIGINT NOT NULL
);
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);
CREATE INDEX access_tokens_expires ON access_tokens (expires);

CREATE TABLE signing_keys (
    id      TEXT   NOT NULL PRIMARY KEY,
    alg     TEXT   NOT NULL,
    pkcs8   BLOB   NOT NULL,
    created BIGINT NOT NULL,
    retired BIGINT NOT NULL DEFAULT 0
);
-- One key in use per algorithm: replicas that start together end with one.
CREATE UNIQUE INDEX signing_keys_in_use ON signing_keys (alg) WHERE retired = 0;

CREATE TABLE pending_requests (
    id              TEXT   NOT NULL PRIMARY KEY,
    browser         BLOB   NOT NULL,
    client          TEXT   NOT NULL,
    source          TEXT   NOT NULL,
    redirect_uri    TEXT   NOT NULL,
    state           BLOB   NOT NULL, -- any bytes
    scopes          TEXT   NOT NULL,
    challenge       TEXT   NOT NULL,
    nonce           TEXT   NOT NULL,
    patient         TEXT   NOT NULL,
    signed_in_after BIGINT NOT NULL,
    created         BIGINT NOT NULL,
    expires         BIGINT NOT NULL
);
CREATE INDEX pending_requests_expires ON pending_requests (expires);

CREATE TABLE sessions (
    digest    BLOB   NOT NULL PRIMARY KEY,
    provider  TEXT   NOT NULL,
    issuer    TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    name      TEXT   NOT NULL,
    sources   TEXT   NOT NULL, -- JSON array
    auth_time BIGINT NOT NULL,
    created   BIGINT NOT NULL,
    seen      BIGINT NOT NULL,
    expires   BIGINT NOT NULL
);
CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE links (
    person_issuer  TEXT   NOT NULL,
    person_subject TEXT   NOT NULL,
    source         TEXT   NOT NULL,
    patient        TEXT   NOT NULL,
    position       BIGINT NOT NULL,
    relationship   TEXT   NOT NULL,
    fhir_user      TEXT   NOT NULL,
    label          TEXT   NOT NULL,
    until          BIGINT NOT NULL,
    PRIMARY KEY (person_issuer, person_subject, source, patient)
);

CREATE TABLE audit_events (
    seq            BIGINT NOT NULL PRIMARY KEY, -- without gaps, in the order of becoming durable
    id             TEXT   NOT NULL UNIQUE,
    time           BIGINT NOT NULL,
    request_id     TEXT   NOT NULL,
    source         TEXT   NOT NULL,
    client         TEXT   NOT NULL,
    person_issuer  TEXT   NOT NULL,
    person_subject TEXT   NOT NULL,
    patient        TEXT   NOT NULL,
    grant_id       TEXT   NOT NULL, -- no reference: the audit outlives the grant
    interaction    TEXT   NOT NULL,
    type           TEXT   NOT NULL,
    resource_id    TEXT   NOT NULL,
    query          TEXT   NOT NULL,
    outcome        TEXT   NOT NULL,
    status         BIGINT NOT NULL,
    released       BIGINT NOT NULL,
    masked         BIGINT NOT NULL,
    withheld       BIGINT NOT NULL,
    hash           BLOB             -- of this event and the one before, when events are chained
);
CREATE INDEX audit_events_patient ON audit_events (source, patient, seq);
CREATE INDEX audit_events_request ON audit_events (request_id);

-- +goose StatementBegin
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
-- +goose StatementEnd

-- REPLACE deletes without asking the trigger above, unless recursive triggers
-- are on; so a number or an id that is taken is refused before it comes to that.
-- +goose StatementBegin
CREATE TRIGGER audit_events_append BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE seq >= NEW.seq OR id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'audit events are append-only');
END;
-- +goose StatementEnd
