-- What people said to apps, so that they are not asked the same thing again.

-- +goose Up
CREATE TABLE decisions (
    client         TEXT   NOT NULL,
    source         TEXT   NOT NULL,
    patient        TEXT   NOT NULL,
    person_issuer  TEXT   NOT NULL,
    person_subject TEXT   NOT NULL,
    asked          TEXT   NOT NULL,
    agreed         TEXT   NOT NULL,
    grant_id       TEXT   NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    expires        BIGINT NOT NULL,
    PRIMARY KEY (person_issuer, person_subject, client, source, patient)
);
CREATE INDEX decisions_grant ON decisions (grant_id);
CREATE INDEX decisions_expires ON decisions (expires);
