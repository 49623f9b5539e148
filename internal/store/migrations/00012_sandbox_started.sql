-- +goose Up
-- When the sandbox was started as far as is known, 0 for not at all: a later start, which the engine tells, is a restart.
ALTER TABLE environments ADD COLUMN sandbox_started_at BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE environments DROP COLUMN sandbox_started_at;
