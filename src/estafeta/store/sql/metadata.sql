-- name: entries_of
-- The annotations of a mailbox (or, with mailbox 0, the server) that one account set for itself, or (account 0) for all.
SELECT entry, value FROM metadata WHERE account_id = :account_id AND mailbox_id = :mailbox_id ORDER BY entry;

-- name: set_entry
-- A value, new or replaced.
INSERT INTO metadata (account_id, mailbox_id, entry, value) VALUES (:account_id, :mailbox_id, :entry, :value)
ON CONFLICT (account_id, mailbox_id, entry) DO UPDATE SET value = excluded.value;

-- name: remove_entry
-- An annotation goes.
DELETE FROM metadata WHERE account_id = :account_id AND mailbox_id = :mailbox_id AND entry = :entry;

-- name: entries_of_mailboxes
-- Some annotations of all mailboxes of an account at once.
SELECT d.mailbox_id, d.account_id, d.entry, d.value
FROM mailboxes AS m JOIN metadata AS d ON d.mailbox_id = m.mailbox_id
WHERE m.account_id = :owner_id AND d.account_id IN (0, :account_id);

-- name: copy_entries
-- Another mailbox gets what one has.
INSERT INTO metadata (account_id, mailbox_id, entry, value)
SELECT account_id, :target_id, entry, value FROM metadata WHERE mailbox_id = :source_id;
