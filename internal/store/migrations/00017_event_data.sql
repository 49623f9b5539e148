-- +goose Up
-- What an event tells code, as a JSON object with its version, beside the sentence that it tells people. Rows of before have
-- none: what they tell is in their sentence alone, see internal/engine/seenbefore.go. A daemon of before that still runs
-- writes such rows as well, until it is restarted.
ALTER TABLE events ADD COLUMN data TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE events DROP COLUMN data;
