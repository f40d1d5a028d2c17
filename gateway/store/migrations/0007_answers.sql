-- How requests of the pages ended, for a moment: a form that is sent again, to
-- whichever replica, gets the same answer.

-- +goose Up
CREATE TABLE answers (
    request  TEXT   NOT NULL PRIMARY KEY,
    browser  BLOB   NOT NULL, -- SHA-256 of the browser's secret
    form     TEXT   NOT NULL,
    done     BIGINT NOT NULL,
    location BLOB   NOT NULL, -- sealed with the browser's secret; empty when there is none
    code     BLOB   NOT NULL, -- SHA-256 of the code in it, zeros when there is none
    expires  BIGINT NOT NULL
);
CREATE INDEX answers_code ON answers (code);
CREATE INDEX answers_expires ON answers (expires);
