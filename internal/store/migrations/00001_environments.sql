-- One text for SQLite and PostgreSQL: times are BIGINT microseconds since 1970
-- UTC (0 = not yet), durations BIGINT nanoseconds, structures TEXT json.

-- +goose Up
CREATE TABLE installation (
    singleton BIGINT PRIMARY KEY CHECK (singleton = 1),
    instance  TEXT   NOT NULL
);

CREATE TABLE environments (
    id                TEXT   PRIMARY KEY,
    name              TEXT   NOT NULL,
    owner             TEXT   NOT NULL,
    project           TEXT   NOT NULL,
    idempotency_key   TEXT   NOT NULL,
    request_hash      TEXT   NOT NULL,
    blueprint         TEXT   NOT NULL,
    blueprint_version TEXT   NOT NULL,
    blueprint_digest  TEXT   NOT NULL,
    size              TEXT   NOT NULL,
    cpus              DOUBLE PRECISION NOT NULL,
    memory_mib        BIGINT NOT NULL,
    pids              BIGINT NOT NULL,
    rate_micros       BIGINT NOT NULL,
    currency          TEXT   NOT NULL,
    image             TEXT   NOT NULL,
    users             TEXT   NOT NULL,
    workspace         TEXT   NOT NULL,
    inputs            TEXT   NOT NULL,
    state             TEXT   NOT NULL,
    reason            TEXT   NOT NULL,
    failure           TEXT   NOT NULL,
    revision          BIGINT NOT NULL,
    lease_ttl         BIGINT NOT NULL,
    lease_max_ttl     BIGINT NOT NULL,
    lease_start       BIGINT NOT NULL,
    lease_end         BIGINT NOT NULL,
    work_action       TEXT   NOT NULL,
    work_worker       TEXT   NOT NULL,
    work_until        BIGINT NOT NULL,
    work_generation   BIGINT NOT NULL,
    work_attempts     BIGINT NOT NULL,
    work_not_before   BIGINT NOT NULL,
    work_deadline     BIGINT NOT NULL,
    work_last_error   TEXT   NOT NULL,
    network           TEXT   NOT NULL,
    sandbox_id        TEXT   NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    ready_at          BIGINT NOT NULL,
    destroyed_at      BIGINT NOT NULL,
    billed_from       BIGINT NOT NULL,
    billed_until      BIGINT NOT NULL
);

-- A name is free again once its environment is gone.
CREATE UNIQUE INDEX environments_live_name ON environments (name) WHERE state <> 'destroyed';
-- An idempotency key is never free again.
CREATE UNIQUE INDEX environments_idempotency ON environments (owner, idempotency_key) WHERE idempotency_key <> '';
-- Live, and what is gone by name.
CREATE INDEX environments_live ON environments (id) WHERE state <> 'destroyed';
CREATE INDEX environments_name ON environments (name, created_at);
-- List.
CREATE INDEX environments_created ON environments (created_at DESC, id);
CREATE INDEX environments_live_created ON environments (created_at DESC, id) WHERE state <> 'destroyed';
-- TakeWork.
CREATE INDEX environments_work ON environments (work_action DESC, created_at, id) WHERE work_action <> '';

-- +goose Down
DROP TABLE environments;
DROP TABLE installation;
