-- Verifications after incidents. While one is not closed, nothing since pin_ns is dropped. detail is the health.Verification as JSON,
-- request what it is computed anew from; the other columns are for finding it.
CREATE TABLE verifications (
    id        TEXT    PRIMARY KEY,
    pin_ns    INTEGER NOT NULL,
    opened_ns INTEGER NOT NULL,
    closed_ns INTEGER,
    detail    TEXT    NOT NULL,
    request   TEXT    NOT NULL
) STRICT;
CREATE INDEX verifications_open ON verifications (pin_ns) WHERE closed_ns IS NULL;
