-- Visits that a sink went past since they could not be read: sent when they can be, counted as given up when they are dropped before.
CREATE TABLE unsent (
    sink  TEXT    NOT NULL,
    first INTEGER NOT NULL, -- seq
    last  INTEGER NOT NULL,
    PRIMARY KEY (sink, first)
) STRICT, WITHOUT ROWID;
