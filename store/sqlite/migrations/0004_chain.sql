-- Events are chained: content is a hash of what the event says, chain one of the chain before and content. NULL for events of before;
-- the chain begins after them.
ALTER TABLE events ADD COLUMN content BLOB;
ALTER TABLE events ADD COLUMN chain BLOB;
