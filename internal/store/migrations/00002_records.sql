-- +goose Up
-- Numbers for the append-only records. A sequence would number rows before
-- they are committed, so a reader could pass one by; this row's lock makes
-- numbers rise in the order of commits, on both databases.
CREATE TABLE counters (
    name  TEXT   PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('events', 0), ('entries', 0);

CREATE TABLE events (
    seq            BIGINT PRIMARY KEY,
    at             BIGINT NOT NULL,
    environment_id TEXT   NOT NULL REFERENCES environments (id),
    kind           TEXT   NOT NULL,
    message        TEXT   NOT NULL,
    actor          TEXT   NOT NULL
);
CREATE INDEX events_environment ON events (environment_id, seq);

CREATE TABLE entries (
    seq            BIGINT PRIMARY KEY,
    at             BIGINT NOT NULL,
    environment_id TEXT   NOT NULL REFERENCES environments (id),
    owner          TEXT   NOT NULL,
    blueprint      TEXT   NOT NULL,
    account        TEXT   NOT NULL,
    from_at        BIGINT NOT NULL,
    until_at       BIGINT NOT NULL,
    amount_micros  BIGINT NOT NULL,
    currency       TEXT   NOT NULL
);
CREATE INDEX entries_environment ON entries (environment_id, seq);

-- Numbered within each environment.
CREATE TABLE log_lines (
    environment_id TEXT   NOT NULL REFERENCES environments (id),
    seq            BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    source         TEXT   NOT NULL,
    line           TEXT   NOT NULL,
    PRIMARY KEY (environment_id, seq)
);

-- +goose Down
DROP TABLE log_lines;
DROP TABLE entries;
DROP TABLE events;
DROP TABLE counters;
