-- What judging a target's air needs of earlier visits: health.AirMemory as JSON.
CREATE TABLE air (
    target INTEGER PRIMARY KEY REFERENCES targets(id),
    value  TEXT NOT NULL
) STRICT;
