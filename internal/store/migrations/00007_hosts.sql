-- +goose Up
-- address is where people reach the daemon that serves a host, or did last; missed says that the record tells of
-- its loss, so that each loss is told once, whoever plans.
ALTER TABLE hosts ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE hosts ADD COLUMN missed BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE hosts DROP COLUMN missed;
ALTER TABLE hosts DROP COLUMN address;
