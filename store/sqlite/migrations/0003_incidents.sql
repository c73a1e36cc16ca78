-- Incidents: what happened to several targets together. detail is the health.Incident as JSON; the other columns are for finding it.
CREATE TABLE incidents (
    id         TEXT    PRIMARY KEY,
    state      TEXT    NOT NULL,
    opened_ns  INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    detail     TEXT    NOT NULL
) STRICT;
CREATE INDEX incidents_open ON incidents (opened_ns) WHERE state = 'open';
CREATE INDEX incidents_changed ON incidents (changed_ns);

-- Which events are evidence of which incident: an event belongs to one at most.
CREATE TABLE incident_events (
    event    TEXT PRIMARY KEY,
    fault    TEXT NOT NULL, -- '' for what was momentary
    incident TEXT NOT NULL REFERENCES incidents(id)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_events_incident ON incident_events (incident);
