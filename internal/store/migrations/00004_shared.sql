-- Many users, many daemons: whose an environment is, what it was made for, where it stands.

-- +goose Up
ALTER TABLE environments ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
ALTER TABLE environments ADD COLUMN team TEXT NOT NULL DEFAULT 'default';
ALTER TABLE environments ADD COLUMN pull_request TEXT NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN pool TEXT NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN match_key TEXT NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN host TEXT NOT NULL DEFAULT 'local';
ALTER TABLE environments ADD COLUMN vars TEXT NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN secret_names TEXT NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN paused BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN cold TEXT NOT NULL DEFAULT '';
ALTER TABLE environments ADD COLUMN queue_rank BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN queue_estimate BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN queue_first BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN queue_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN lease_idle BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN lease_active BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN lease_warned BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN booked_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN held_micros BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN held_for BIGINT NOT NULL DEFAULT 0;
ALTER TABLE environments ADD COLUMN held_at BIGINT NOT NULL DEFAULT 0;

DROP INDEX environments_live_name;
DROP INDEX environments_idempotency;
DROP INDEX environments_work;
-- A name is free again once its environment is gone; tenants do not see each other's.
CREATE UNIQUE INDEX environments_live_name ON environments (tenant, name) WHERE state <> 'destroyed';
-- An idempotency key is never free again.
CREATE UNIQUE INDEX environments_idempotency ON environments (tenant, owner, idempotency_key) WHERE idempotency_key <> '';
-- Claim: the oldest of the first pool by name.
CREATE INDEX environments_warm ON environments (match_key, pool, ready_at, id) WHERE state = 'warm';
-- TakeWork.
CREATE INDEX environments_work ON environments (host, work_action DESC, created_at, id) WHERE work_action <> '';

-- What is delivered to an environment's secrets folder, sealed by the caller; gone once it is delivered.
CREATE TABLE secrets (
    environment_id TEXT  PRIMARY KEY REFERENCES environments (id),
    sealed         BYTEA NOT NULL
);

CREATE TABLE pools (
    name       TEXT   PRIMARY KEY,
    blueprint  TEXT   NOT NULL,
    size       TEXT   NOT NULL,
    inputs     TEXT   NOT NULL,
    target     BIGINT NOT NULL,
    schedule   TEXT   NOT NULL,
    min        BIGINT NOT NULL,
    max        BIGINT NOT NULL,
    surge      BIGINT NOT NULL,
    pause      BIGINT NOT NULL,
    held       TEXT   NOT NULL,
    held_at    BIGINT NOT NULL,
    failures   BIGINT NOT NULL,
    from_file  BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT   NOT NULL
);

CREATE TABLE hosts (
    name          TEXT   PRIMARY KEY,
    endpoint      TEXT   NOT NULL,
    labels        TEXT   NOT NULL,
    environments  BIGINT NOT NULL,
    milli_cpus    BIGINT NOT NULL,
    memory_mib    BIGINT NOT NULL,
    drained       BIGINT NOT NULL,
    down          TEXT   NOT NULL,
    worker        TEXT   NOT NULL,
    worker_until  BIGINT NOT NULL,
    generation    BIGINT NOT NULL,
    seen_at       BIGINT NOT NULL
);

-- Small values that outlive a daemon: the brake, safe mode, the clock's high-water mark.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- +goose Down
DROP TABLE settings;
DROP TABLE hosts;
DROP TABLE pools;
DROP TABLE secrets;
DROP INDEX environments_work;
DROP INDEX environments_warm;
DROP INDEX environments_idempotency;
DROP INDEX environments_live_name;
ALTER TABLE environments DROP COLUMN held_at;
ALTER TABLE environments DROP COLUMN held_for;
ALTER TABLE environments DROP COLUMN held_micros;
ALTER TABLE environments DROP COLUMN booked_until;
ALTER TABLE environments DROP COLUMN lease_warned;
ALTER TABLE environments DROP COLUMN lease_active;
ALTER TABLE environments DROP COLUMN lease_idle;
ALTER TABLE environments DROP COLUMN queue_until;
ALTER TABLE environments DROP COLUMN queue_first;
ALTER TABLE environments DROP COLUMN queue_estimate;
ALTER TABLE environments DROP COLUMN queue_rank;
ALTER TABLE environments DROP COLUMN cold;
ALTER TABLE environments DROP COLUMN paused;
ALTER TABLE environments DROP COLUMN secret_names;
ALTER TABLE environments DROP COLUMN vars;
ALTER TABLE environments DROP COLUMN host;
ALTER TABLE environments DROP COLUMN match_key;
ALTER TABLE environments DROP COLUMN pool;
ALTER TABLE environments DROP COLUMN pull_request;
ALTER TABLE environments DROP COLUMN team;
ALTER TABLE environments DROP COLUMN tenant;
CREATE UNIQUE INDEX environments_live_name ON environments (name) WHERE state <> 'destroyed';
CREATE UNIQUE INDEX environments_idempotency ON environments (owner, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX environments_work ON environments (work_action DESC, created_at, id) WHERE work_action <> '';
