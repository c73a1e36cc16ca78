-- What the fault state machine remembers: see health.Event, Fault, Recent and BMCClock.
ALTER TABLE events ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN source_severity TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE faults ADD COLUMN subject TEXT NOT NULL DEFAULT '';
ALTER TABLE faults ADD COLUMN flap TEXT NOT NULL DEFAULT '{}'; -- JSON

-- Conditions that began lately, beyond the faults of them that are closed already.
CREATE TABLE recent (
    target    INTEGER NOT NULL REFERENCES targets(id),
    component TEXT    NOT NULL,
    kind      TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    begun     TEXT    NOT NULL, -- JSON array of times
    fault     TEXT    NOT NULL,
    ended_ns  INTEGER,
    polled    INTEGER NOT NULL, -- a reading ended it
    PRIMARY KEY (target, component, kind, subject)
) STRICT, WITHOUT ROWID;

ALTER TABLE targets ADD COLUMN clock_skew INTEGER NOT NULL DEFAULT 0; -- nanoseconds that the BMC's clock was ahead
ALTER TABLE targets ADD COLUMN clock_ns INTEGER; -- when that was noted
