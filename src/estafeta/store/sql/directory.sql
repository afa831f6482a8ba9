-- name: directory_version
-- The version of the directory.
SELECT value FROM counters WHERE name = 'directory_version';

-- name: bump_directory_version
-- Makes routes that were found before invalid.
UPDATE counters SET value = value + 1 WHERE name = 'directory_version';
