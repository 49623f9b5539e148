-- +goose Up
-- The time, in nanoseconds, of the periods of an environment's bill before the present one: each try to create may leave
-- something that is removed before the next begins.
ALTER TABLE environments ADD COLUMN billed_before BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE environments DROP COLUMN billed_before;
