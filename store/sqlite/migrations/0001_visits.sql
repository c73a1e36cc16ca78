-- Times named *_ns, and `at`, are nanoseconds since 1970 UTC by our clock; NULL is "never". Times that a BMC stated are
-- RFC 3339 text, since they may be centuries off and carry an offset; '' is "none". `seq` is the visit that wrote the row.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Spans in which the daemon ran. stopped_ns is NULL while it runs, and for ever after a crash; alive_ns is then the end.
CREATE TABLE runs (
    id         INTEGER PRIMARY KEY,
    pid        INTEGER NOT NULL,
    started_ns INTEGER NOT NULL,
    alive_ns   INTEGER NOT NULL,
    stopped_ns INTEGER
) STRICT;

CREATE TABLE targets (
    id            INTEGER PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    endpoint      TEXT    NOT NULL DEFAULT '', -- what was known was learned from it
    driver        TEXT    NOT NULL DEFAULT '', -- the sticky choice of an auto target
    last_driver   TEXT    NOT NULL DEFAULT '', -- of the last visit
    origin        TEXT    NOT NULL DEFAULT '', -- of the last visit; '' is a real machine
    identity      TEXT    NOT NULL DEFAULT '{}',
    host_power    TEXT    NOT NULL DEFAULT 'unknown',
    first_seen_ns INTEGER
) STRICT;

CREATE TABLE latest (
    target INTEGER PRIMARY KEY REFERENCES targets(id),
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE TABLE access (
    target      INTEGER PRIMARY KEY REFERENCES targets(id),
    state       TEXT    NOT NULL,
    since_ns    INTEGER,
    next_try_ns INTEGER,
    failures    INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    error       TEXT    NOT NULL
) STRICT;

CREATE TABLE ticks (
    target   INTEGER NOT NULL REFERENCES targets(id),
    tier     INTEGER NOT NULL,
    due_ns   INTEGER,
    result   TEXT    NOT NULL,
    lateness INTEGER NOT NULL, -- nanoseconds
    PRIMARY KEY (target, tier)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    target INTEGER NOT NULL REFERENCES targets(id),
    source TEXT    NOT NULL,
    value  BLOB    NOT NULL,
    PRIMARY KEY (target, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE memory (
    target INTEGER PRIMARY KEY REFERENCES targets(id),
    value  BLOB    NOT NULL
) STRICT;

-- Places of components that were read whole at least once, and when first.
CREATE TABLE places (
    target INTEGER NOT NULL REFERENCES targets(id),
    place  TEXT    NOT NULL,
    at     INTEGER,
    PRIMARY KEY (target, place)
) STRICT, WITHOUT ROWID;

-- What is known of a machine's parts now; the histories hold what was written there before, whenever it changed.
CREATE TABLE components (
    target   INTEGER NOT NULL REFERENCES targets(id),
    id       TEXT    NOT NULL,
    class    TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    presence TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    since_ns INTEGER,
    seq      INTEGER NOT NULL,
    detail   TEXT    NOT NULL, -- the rest, JSON
    PRIMARY KEY (target, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE component_history (
    target INTEGER NOT NULL REFERENCES targets(id),
    id     TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    class  TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    detail TEXT    NOT NULL, -- location, maker, model, serial, firmware, …; not state and presence
    PRIMARY KEY (target, id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE identity_history (
    target   INTEGER NOT NULL REFERENCES targets(id),
    seq      INTEGER NOT NULL,
    identity TEXT    NOT NULL,
    PRIMARY KEY (target, seq)
) STRICT, WITHOUT ROWID;

-- The newest row of a series is in force.
CREATE TABLE thresholds (
    target         INTEGER NOT NULL REFERENCES targets(id),
    series         INTEGER NOT NULL,
    seq            INTEGER NOT NULL,
    lower_fatal    REAL,
    lower_critical REAL,
    lower_caution  REAL,
    upper_caution  REAL,
    upper_critical REAL,
    upper_fatal    REAL,
    PRIMARY KEY (target, series, seq)
) STRICT, WITHOUT ROWID;

-- The dictionary. Entries are never changed or removed: blobs and blocks name them by n.
CREATE TABLE parts (
    target INTEGER NOT NULL REFERENCES targets(id),
    n      INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    class  TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    PRIMARY KEY (target, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE series (
    target   INTEGER NOT NULL REFERENCES targets(id),
    n        INTEGER NOT NULL,
    part     INTEGER NOT NULL, -- any part with the component's ID
    quantity TEXT    NOT NULL,
    unit     TEXT    NOT NULL,
    derived  INTEGER NOT NULL,
    PRIMARY KEY (target, n)
) STRICT, WITHOUT ROWID;

-- A target as it was configured when visits were made.
CREATE TABLE configured (
    target INTEGER NOT NULL REFERENCES targets(id),
    n      INTEGER NOT NULL,
    detail TEXT    NOT NULL, -- JSON
    PRIMARY KEY (target, n)
) STRICT, WITHOUT ROWID;

-- One row per visit, small, for ever. hour is floor(at / 3600 s).
CREATE TABLE visits (
    seq    INTEGER PRIMARY KEY,
    target INTEGER NOT NULL REFERENCES targets(id),
    hour   INTEGER NOT NULL
) STRICT;

-- What visits of open hours brought. Apart from visits, so that compaction frees whole pages.
CREATE TABLE fresh (
    seq    INTEGER PRIMARY KEY,
    hour   INTEGER NOT NULL,
    target INTEGER NOT NULL,
    id     TEXT    NOT NULL, -- the visit's; those of closed hours stand in the blocks
    data   BLOB    NOT NULL
) STRICT;
CREATE INDEX fresh_hour ON fresh (hour, target);
CREATE UNIQUE INDEX fresh_id ON fresh (id, target);

-- What visits of closed hours brought. More than one block per target and hour only if one would be too large.
CREATE TABLE blocks (
    id        INTEGER PRIMARY KEY,
    target    INTEGER NOT NULL REFERENCES targets(id),
    hour      INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    visits    INTEGER NOT NULL,
    samples   INTEGER NOT NULL,
    data      BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX blocks_hour ON blocks (target, hour, first_seq);

-- n has no holes: a chain of hashes can run over it.
CREATE TABLE events (
    n           INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    seq         INTEGER NOT NULL,
    target      INTEGER NOT NULL REFERENCES targets(id),
    component   TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    kind        TEXT    NOT NULL,
    severity    TEXT    NOT NULL,
    transition  TEXT    NOT NULL,
    rule        TEXT    NOT NULL,
    message     TEXT    NOT NULL,
    evidence    TEXT    NOT NULL, -- JSON array
    at          INTEGER,
    source      TEXT    NOT NULL,
    source_time TEXT    NOT NULL,
    at_start    INTEGER NOT NULL,
    fault       TEXT    NOT NULL
) STRICT;
CREATE INDEX events_seq ON events (seq);
CREATE INDEX events_at ON events (at);
CREATE INDEX events_target ON events (target, at);

CREATE TABLE log_entries (
    n          INTEGER PRIMARY KEY,
    key        TEXT    NOT NULL UNIQUE, -- the ID an event of this entry has: of target, source, generation, entry, entry_key
    seq        INTEGER NOT NULL,
    target     INTEGER NOT NULL REFERENCES targets(id),
    source     TEXT    NOT NULL,
    generation TEXT    NOT NULL,
    entry      TEXT    NOT NULL,
    entry_key  BLOB    NOT NULL,
    raw        BLOB    NOT NULL, -- packed as blobs are
    created    TEXT    NOT NULL,
    observed   INTEGER,
    severity   TEXT    NOT NULL,
    message    TEXT    NOT NULL,
    message_id TEXT    NOT NULL,
    args       TEXT    NOT NULL, -- JSON array
    component  TEXT    NOT NULL,
    origin     TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    cleared    INTEGER NOT NULL,
    sel        BLOB              -- decoded SEL event, 10 bytes
) STRICT;
CREATE INDEX log_entries_seq ON log_entries (seq);
CREATE INDEX log_entries_target ON log_entries (target, observed);

CREATE TABLE faults (
    id         TEXT    PRIMARY KEY,
    target     INTEGER NOT NULL REFERENCES targets(id),
    component  TEXT    NOT NULL,
    class      TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    severity   TEXT    NOT NULL,
    state      TEXT    NOT NULL,
    rule       TEXT    NOT NULL,
    message    TEXT    NOT NULL,
    evidence   TEXT    NOT NULL, -- JSON array
    opened_ns  INTEGER,
    changed_ns INTEGER,
    cleared_ns INTEGER,
    at_start   INTEGER NOT NULL,
    seq        INTEGER NOT NULL
) STRICT;
CREATE INDEX faults_open ON faults (target) WHERE state <> 'cleared';
CREATE INDEX faults_target ON faults (target, opened_ns);

CREATE TABLE sinks (
    name   TEXT    PRIMARY KEY,
    cursor INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    id    INTEGER PRIMARY KEY,
    key   BLOB    NOT NULL UNIQUE, -- hash of sink, seq and line
    sink  TEXT    NOT NULL,
    seq   INTEGER NOT NULL,
    line  TEXT    NOT NULL,
    error TEXT    NOT NULL,
    at    INTEGER NOT NULL
) STRICT;
