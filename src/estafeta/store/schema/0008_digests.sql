-- What each content is known by, so that none is ever changed silently.

-- BLAKE2b, 32 octets; NULL for what was stored before, until the upkeep has read it.
ALTER TABLE contents ADD COLUMN digest BLOB CHECK (length(digest) = 32);
-- Finds those without one.
CREATE INDEX contents_without_digest ON contents (content_id) WHERE digest IS NULL;
