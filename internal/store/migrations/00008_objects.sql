-- +goose Up
-- What a blueprint made, or means to make: a row is written before the engine is asked, and has an id once the engine has
-- answered. Rows go with the environment, in the transaction that writes its receipt.
CREATE TABLE objects (
    environment_id TEXT   NOT NULL REFERENCES environments (id),
    generation     BIGINT NOT NULL,
    kind           TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    id             TEXT   NOT NULL,
    answered       BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    PRIMARY KEY (environment_id, generation, kind, name)
);

-- +goose Down
DROP TABLE objects;
