-- Files in the folder periods, to which the blocks of days long over were moved (docs/decisions/retention.md). A file is never changed.
-- Its row is there before it has its name, and goes after it was removed.
CREATE TABLE periods (
    id    INTEGER PRIMARY KEY,
    name  TEXT    NOT NULL UNIQUE, -- the file's: its day, and a hash of its bytes
    day   INTEGER NOT NULL,        -- floor(hour / 24)
    bytes INTEGER NOT NULL,
    moved INTEGER NOT NULL DEFAULT 0 -- 1: no more rows are to be pointed to it
) STRICT;

-- Where a block's bytes stand, if not in data, which is empty then.
ALTER TABLE blocks ADD COLUMN period INTEGER REFERENCES periods(id);
ALTER TABLE blocks ADD COLUMN place INTEGER;
ALTER TABLE blocks ADD COLUMN size INTEGER;
CREATE INDEX blocks_period ON blocks (period) WHERE period IS NOT NULL;
CREATE INDEX blocks_unmoved ON blocks (hour) WHERE period IS NULL;
