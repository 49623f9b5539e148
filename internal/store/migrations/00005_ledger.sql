-- The whole ledger, limits and proofs. Records are of the platform as well as of environments now.

-- +goose Up
DROP INDEX events_environment;
ALTER TABLE events RENAME TO events_before;
CREATE TABLE events (
    seq            BIGINT PRIMARY KEY,
    at             BIGINT NOT NULL,
    environment_id TEXT   NOT NULL,
    pool           TEXT   NOT NULL,
    host           TEXT   NOT NULL,
    tenant         TEXT   NOT NULL,
    team           TEXT   NOT NULL,
    owner          TEXT   NOT NULL,
    kind           TEXT   NOT NULL,
    message        TEXT   NOT NULL,
    actor          TEXT   NOT NULL
);
INSERT INTO events SELECT e.seq, e.at, e.environment_id, '', '', 'default', 'default', v.owner, e.kind, e.message, e.actor
    FROM events_before e JOIN environments v ON v.id = e.environment_id;
DROP TABLE events_before;
CREATE INDEX events_environment ON events (environment_id, seq);
CREATE INDEX events_tenant ON events (tenant, seq);
CREATE INDEX events_pool ON events (pool, seq) WHERE pool <> '';
CREATE INDEX events_host ON events (host, seq) WHERE host <> '';

DROP INDEX entries_environment;
ALTER TABLE entries RENAME TO entries_before;
CREATE TABLE entries (
    seq            BIGINT PRIMARY KEY,
    at             BIGINT NOT NULL,
    environment_id TEXT   NOT NULL,
    tenant         TEXT   NOT NULL,
    team           TEXT   NOT NULL,
    owner          TEXT   NOT NULL,
    project        TEXT   NOT NULL,
    pull_request   TEXT   NOT NULL,
    pool           TEXT   NOT NULL,
    blueprint      TEXT   NOT NULL,
    size           TEXT   NOT NULL,
    host           TEXT   NOT NULL,
    debit          TEXT   NOT NULL,
    credit         TEXT   NOT NULL,
    from_at        BIGINT NOT NULL,
    until_at       BIGINT NOT NULL,
    rate_micros    BIGINT NOT NULL,
    amount_micros  BIGINT NOT NULL,
    currency       TEXT   NOT NULL
);
-- What was charged until now was all leased; project, size and price are those of the row.
INSERT INTO entries SELECT e.seq, e.at, e.environment_id, 'default', 'default', e.owner, v.project, '', '', e.blueprint, v.size, 'local',
    'leased', 'capacity', e.from_at, e.until_at, v.rate_micros, e.amount_micros, e.currency
    FROM entries_before e JOIN environments v ON v.id = e.environment_id;
DROP TABLE entries_before;
CREATE INDEX entries_environment ON entries (environment_id, seq);
-- The end of the charged time, or when it was held or given back.
CREATE INDEX entries_moment ON entries ((CASE WHEN until_at > 0 THEN until_at ELSE at END), seq);

CREATE TABLE rates (
    blueprint TEXT   NOT NULL,
    size      TEXT   NOT NULL,
    from_at   BIGINT NOT NULL,
    micros    BIGINT NOT NULL,
    currency  TEXT   NOT NULL,
    set_by    TEXT   NOT NULL,
    PRIMARY KEY (blueprint, size, from_at)
);

CREATE TABLE quotas (
    kind       TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    limits     TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    updated_by TEXT   NOT NULL,
    PRIMARY KEY (kind, tenant, name)
);

-- What each scope has now, kept with the rows in the same transactions; its lock orders admissions.
CREATE TABLE usage (
    kind         TEXT   NOT NULL,
    tenant       TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    environments BIGINT NOT NULL,
    milli_cpus   BIGINT NOT NULL,
    memory_mib   BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant, name)
);

-- Whoever has environments now; all have the tenant and team that 00004 gave them.
INSERT INTO usage SELECT 'tenant', tenant, '', COUNT(*), CAST(SUM(CEIL(cpus * 1000)) AS BIGINT), CAST(SUM(memory_mib) AS BIGINT)
    FROM environments WHERE state <> 'destroyed' AND tenant <> '' GROUP BY tenant;
INSERT INTO usage SELECT 'team', tenant, team, COUNT(*), CAST(SUM(CEIL(cpus * 1000)) AS BIGINT), CAST(SUM(memory_mib) AS BIGINT)
    FROM environments WHERE state <> 'destroyed' AND tenant <> '' GROUP BY tenant, team;
INSERT INTO usage SELECT 'user', tenant, owner, COUNT(*), CAST(SUM(CEIL(cpus * 1000)) AS BIGINT), CAST(SUM(memory_mib) AS BIGINT)
    FROM environments WHERE state <> 'destroyed' AND tenant <> '' GROUP BY tenant, owner;

-- Money (in millionths) and leased time (in microseconds) of a scope in a UTC day ('2026-05-06') or
-- month ('2026-05'): what is settled and what is held.
CREATE TABLE spend (
    kind           TEXT   NOT NULL,
    tenant         TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    period         TEXT   NOT NULL,
    settled_micros BIGINT NOT NULL,
    settled_time   BIGINT NOT NULL,
    held_micros    BIGINT NOT NULL,
    held_time      BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant, name, period)
);

CREATE TABLE receipts (
    seq            BIGINT PRIMARY KEY,
    environment_id TEXT   NOT NULL UNIQUE,
    at             BIGINT NOT NULL,
    body           BYTEA  NOT NULL,
    prev_hash      TEXT   NOT NULL,
    hash           TEXT   NOT NULL,
    signature      TEXT   NOT NULL
);

CREATE TABLE orphans (
    host           TEXT   NOT NULL,
    kind           TEXT   NOT NULL,
    id             TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    environment_id TEXT   NOT NULL,
    labels         TEXT   NOT NULL,
    created_at     BIGINT NOT NULL,
    first_seen     BIGINT NOT NULL,
    last_seen      BIGINT NOT NULL,
    sightings      BIGINT NOT NULL,
    PRIMARY KEY (host, kind, id)
);

-- How good the queue's estimates were: one row for each request that waited and got ready.
CREATE TABLE estimates (
    environment_id TEXT   PRIMARY KEY,
    at             BIGINT NOT NULL,
    off_nanos      BIGINT NOT NULL
);
CREATE INDEX estimates_at ON estimates (at DESC, environment_id);

INSERT INTO counters (name, value) VALUES ('receipts', 0);

-- +goose Down
DELETE FROM counters WHERE name = 'receipts';
DROP TABLE estimates;
DROP TABLE orphans;
DROP TABLE receipts;
DROP TABLE spend;
DROP TABLE usage;
DROP TABLE quotas;
DROP TABLE rates;
DROP INDEX entries_moment;
DROP INDEX entries_environment;
ALTER TABLE entries RENAME TO entries_after;
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
INSERT INTO entries SELECT seq, at, environment_id, owner, blueprint, 'environment', from_at, until_at, amount_micros, currency
    FROM entries_after WHERE debit = 'leased';
DROP TABLE entries_after;
CREATE INDEX entries_environment ON entries (environment_id, seq);
DROP INDEX events_host;
DROP INDEX events_pool;
DROP INDEX events_tenant;
DROP INDEX events_environment;
ALTER TABLE events RENAME TO events_after;
CREATE TABLE events (
    seq            BIGINT PRIMARY KEY,
    at             BIGINT NOT NULL,
    environment_id TEXT   NOT NULL REFERENCES environments (id),
    kind           TEXT   NOT NULL,
    message        TEXT   NOT NULL,
    actor          TEXT   NOT NULL
);
INSERT INTO events SELECT seq, at, environment_id, kind, message, actor FROM events_after WHERE environment_id <> '';
DROP TABLE events_after;
CREATE INDEX events_environment ON events (environment_id, seq);
