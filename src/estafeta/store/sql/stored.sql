-- name: oldest_queued
-- The message of the queue that was accepted first: ids grow with time.
SELECT accepted_at FROM queued_messages ORDER BY message_id LIMIT 1;

-- name: content_files
-- Sizes of contents that are in files, by the index of their names.
SELECT sum(size), max(file) FROM (
    SELECT size, file FROM contents WHERE file IS NOT NULL AND file > :after ORDER BY file LIMIT :limit
) AS some_files;

-- name: probe
-- A number that nobody reads; it must be another one, for what is the same is not written.
INSERT INTO counters (name, value) VALUES ('probes', 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1;
