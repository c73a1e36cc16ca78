-- What operators did: acknowledgements and silences. Rows are added, never changed and never removed.
CREATE TABLE actions (
    n        INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL UNIQUE,
    kind     TEXT    NOT NULL,
    at_ns    INTEGER NOT NULL,
    by_whom  TEXT    NOT NULL,
    why      TEXT    NOT NULL,
    fault    TEXT    NOT NULL,
    ends     TEXT    NOT NULL,
    from_ns  INTEGER,
    until_ns INTEGER,
    match    TEXT    NOT NULL -- JSON of health.Matcher
) STRICT;
CREATE INDEX actions_fault ON actions (fault) WHERE fault <> '';

-- The receivers of notifications. Events up to the cursor (events.n) have a row in notices, or need none.
CREATE TABLE notifiers (
    name       TEXT    PRIMARY KEY,
    cursor     INTEGER NOT NULL,
    muted      INTEGER NOT NULL DEFAULT 0,
    sent       INTEGER NOT NULL DEFAULT 0,
    sent_ns    INTEGER,
    error      TEXT    NOT NULL DEFAULT '',
    error_ns   INTEGER,
    beat_ns    INTEGER -- the last heartbeat: written before it is sent, so that none is sent that the store does not take
) STRICT;

-- Events that a receiver was not told of yet.
CREATE TABLE notices (
    notifier TEXT    NOT NULL REFERENCES notifiers(name) ON DELETE CASCADE,
    event    INTEGER NOT NULL, -- events.n
    silence  TEXT    NOT NULL, -- the silence that holds it back, '' for none
    PRIMARY KEY (notifier, event)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_fault ON events (fault) WHERE fault <> '';
CREATE INDEX incident_events_fault ON incident_events (fault) WHERE fault <> '';
