-- What is left of visits once they are dropped: five-minute rollups, hourly medians, and the account of ticks. One row per target
-- and day (part 0), and, until the day is over and for what came late, one per hour (part 1 + hour), which replaces that hour of
-- part 0. A row is made in the transaction that makes the hour's blocks.
CREATE TABLE rollups (
    target INTEGER NOT NULL REFERENCES targets(id),
    day    INTEGER NOT NULL, -- floor(hour / 24)
    part   INTEGER NOT NULL,
    hours  INTEGER NOT NULL, -- bit h: hour h of the day is in it
    data   BLOB    NOT NULL,
    PRIMARY KEY (target, day, part)
) STRICT;
CREATE INDEX rollups_age ON rollups (day);
CREATE INDEX rollups_open ON rollups (day, target) WHERE part > 0;

CREATE INDEX blocks_age ON blocks (hour);

-- Visits that were dropped before the sink had taken them.
ALTER TABLE sinks ADD COLUMN given_up INTEGER NOT NULL DEFAULT 0;

-- Blocks of before have no rollups yet: the daemon makes them, then takes this away.
INSERT INTO meta (key, value) SELECT 'rollups_missing', '1' WHERE EXISTS (SELECT 1 FROM blocks);
