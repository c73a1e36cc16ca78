-- The driver of the endpoint before this one, until the new one was read: another protocol ends what the old one told (health.Known.Before).
ALTER TABLE targets ADD COLUMN driver_before TEXT NOT NULL DEFAULT '';
