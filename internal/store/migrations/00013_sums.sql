-- +goose Up
-- What entries have charged for time, by UTC day and by all that cost is grouped by but the environment: each entry that is summed is in
-- it once, cut at midnights. Counter entries.summed is the number of the last one that is.
CREATE TABLE sums (
    day           BIGINT NOT NULL,
    tenant        TEXT   NOT NULL,
    team          TEXT   NOT NULL,
    owner         TEXT   NOT NULL,
    project       TEXT   NOT NULL,
    pull_request  TEXT   NOT NULL,
    pool          TEXT   NOT NULL,
    blueprint     TEXT   NOT NULL,
    host          TEXT   NOT NULL,
    debit         TEXT   NOT NULL,
    currency      TEXT   NOT NULL,
    amount_micros BIGINT NOT NULL,
    time_micros   BIGINT NOT NULL,
    PRIMARY KEY (day, tenant, team, owner, project, pull_request, pool, blueprint, host, debit, currency)
);
-- Entries of more than one day.
CREATE INDEX entries_days ON entries (until_at) WHERE from_at / 86400000000 <> (until_at - 1) / 86400000000;
-- What is gone, by its end: what is pruned first.
CREATE INDEX environments_gone ON environments (destroyed_at, id) WHERE state = 'destroyed';
-- entries.pruned and environments.pruned are days since 1970: of time before it entries are gone, and rows that ended before it.
INSERT INTO counters (name, value) VALUES ('entries.summed', 0), ('entries.pruned', 0), ('environments.pruned', 0), ('receipts.pruned', 0);

-- +goose Down
DELETE FROM counters WHERE name IN ('entries.summed', 'entries.pruned', 'environments.pruned', 'receipts.pruned');
DROP INDEX environments_gone;
DROP INDEX entries_days;
DROP TABLE sums;
