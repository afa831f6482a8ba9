-- name: add_entry
-- A new entry; none when the id is there, which says that a mail object was accepted before.
INSERT INTO journal (entry_id, kind, at, session_id, message_id, facts, keys)
VALUES (:entry_id, :kind, :at, :session_id, :message_id, :facts, :keys)
ON CONFLICT (entry_id) DO NOTHING;

-- name: add_key
-- One key of an entry.
INSERT INTO journal_keys (key, entry_id) VALUES (:key, :entry_id);

-- name: keys_of_entries
-- What entries are found by, from an id on.
SELECT entry_id, at, keys FROM journal WHERE entry_id > :after ORDER BY entry_id LIMIT :limit;

-- name: remove_key
-- A key of an entry goes.
DELETE FROM journal_keys WHERE key = :key AND entry_id = :entry_id;

-- name: entries_of_message
-- The entry of an acceptance and all others about the message.
SELECT kind, at, session_id, message_id, facts, keys FROM (
    SELECT entry_id, kind, at, session_id, message_id, facts, keys FROM journal
    WHERE entry_id = :message_id AND message_id = entry_id
    UNION ALL
    SELECT entry_id, kind, at, session_id, message_id, facts, keys FROM journal
    WHERE message_id = :message_id AND message_id <> entry_id
) AS entries ORDER BY at, entry_id;

-- name: entries_of_session
-- All that happened in a session.
SELECT kind, at, session_id, message_id, facts, keys FROM journal
WHERE session_id = :session_id ORDER BY at, entry_id;

-- name: newest_key
-- The greatest index key up to a bound.
SELECT max(key) FROM journal_keys WHERE key <= :before;

-- name: entries_with_key
-- The entries of one day whose keys have this hash.
SELECT j.kind, j.at, j.session_id, j.message_id, j.facts, j.keys
FROM journal_keys AS k JOIN journal AS j ON j.entry_id = k.entry_id
WHERE k.key = :key ORDER BY j.at DESC, j.entry_id DESC;

-- name: prunable_entries
-- The oldest entries, when they are too old.
SELECT entry_id, at, keys FROM journal WHERE entry_id < :before ORDER BY entry_id LIMIT :limit;

-- name: remove_entry
-- An entry goes.
DELETE FROM journal WHERE entry_id = :entry_id;

-- name: redactable_entries
-- The oldest entries that still show personal data, from where the last redaction came to.
SELECT entry_id, at, facts, keys FROM journal
WHERE entry_id >= (SELECT value FROM counters WHERE name = 'redacted_id')
    AND entry_id < :before AND is_redacted = 0
ORDER BY entry_id LIMIT :limit;

-- name: redact_entry
-- An entry without personal data.
UPDATE journal SET facts = :facts, keys = '', is_redacted = 1 WHERE entry_id = :entry_id;

-- name: note_redacted
-- All older entries are redacted.
UPDATE counters SET value = :reached WHERE name = 'redacted_id' AND value < :reached;
