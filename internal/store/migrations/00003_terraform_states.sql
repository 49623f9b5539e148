-- +goose Up
-- sealed is encrypted by the caller. SQLite keeps blobs as they are in a
-- column of any type, so PostgreSQL's name for bytes serves both.
CREATE TABLE terraform_states (
    environment_id TEXT   NOT NULL REFERENCES environments (id),
    serial         BIGINT NOT NULL,
    generation     BIGINT NOT NULL,
    sealed         BYTEA  NOT NULL,
    PRIMARY KEY (environment_id, serial)
);

-- +goose Down
DROP TABLE terraform_states;
