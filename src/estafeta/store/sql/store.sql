-- name: largest_id
-- The largest id that was ever committed and is still there, so that new ones are above it; NULL in a new store.
SELECT max(id) FROM (
    SELECT max(entry_id) AS id FROM journal
    UNION ALL SELECT max(session_id) FROM journal WHERE session_id IS NOT NULL
    UNION ALL SELECT max(message_id) FROM journal WHERE message_id <> entry_id
    UNION ALL SELECT max(content_id) FROM contents
    UNION ALL SELECT max(delivery_id) FROM messages
    UNION ALL SELECT max(message_id) FROM queued_messages
    UNION ALL SELECT max(recipient_id) FROM queued_recipients
    UNION ALL SELECT max(account_id) FROM accounts
    UNION ALL SELECT max(mailbox_id) FROM mailboxes
    UNION ALL SELECT max(domain_id) FROM domains
) AS ids;

-- name: content_files
-- The names of all files that hold a content.
SELECT file FROM contents WHERE file IS NOT NULL;

-- name: all_content_files
-- The same, read from the table and not from the index of such files.
SELECT file FROM contents WHERE coalesce(file, '') <> '';

-- name: forget_holders
-- No process relays.
DELETE FROM holders;
