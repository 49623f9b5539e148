-- Who plans for all daemons of the database: a lease that is renewed, and a generation that fences whoever had it before.

-- +goose Up
CREATE TABLE leader (
    singleton    BIGINT PRIMARY KEY CHECK (singleton = 1),
    worker       TEXT   NOT NULL,
    address      TEXT   NOT NULL,
    worker_until BIGINT NOT NULL,
    generation   BIGINT NOT NULL,
    since        BIGINT NOT NULL,
    planned_at   BIGINT NOT NULL
);

-- +goose Down
DROP TABLE leader;
