-- +goose Up
-- A row from before the database was lost or restored that nobody has decided on since.
ALTER TABLE environments ADD COLUMN doubted BIGINT NOT NULL DEFAULT 0;
CREATE INDEX environments_doubted ON environments (id) WHERE doubted <> 0;

-- +goose Down
DROP INDEX environments_doubted;
ALTER TABLE environments DROP COLUMN doubted;
