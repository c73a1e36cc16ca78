-- A person wants the line sent again.
ALTER TABLE quarantine ADD COLUMN released INTEGER NOT NULL DEFAULT 0;
CREATE INDEX quarantine_released ON quarantine (sink, id) WHERE released = 1;

-- Lines that went from a quarantine that was full.
ALTER TABLE sinks ADD COLUMN quarantine_dropped INTEGER NOT NULL DEFAULT 0;
