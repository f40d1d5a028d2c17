-- What was agreed to, for decisions of people: the grant that holds it as well
-- is deleted when it is over.

-- +goose Up
ALTER TABLE audit_events ADD COLUMN scopes TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE audit_events DROP COLUMN scopes;
