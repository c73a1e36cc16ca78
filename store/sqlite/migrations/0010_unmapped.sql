-- Events of log entries that no driver's table knows: status counts them.
CREATE INDEX events_unmapped ON events (target) WHERE kind = 'unknown' AND rule = 'log';
