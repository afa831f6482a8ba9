-- name: next_uid_validity
-- A UIDVALIDITY that was never given before: the seconds now, or one more than the last.
UPDATE counters SET value = CASE WHEN value < :seconds THEN :seconds ELSE value + 1 END
WHERE name = 'uid_validity' RETURNING value;

-- name: add_mailbox
-- A new, empty mailbox.
INSERT INTO mailboxes
    (mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets)
VALUES (:mailbox_id, :account_id, :name, :special_use, :uid_validity, 1, 1, 0, 0);

-- name: mailboxes_of_account
-- All mailboxes of an account.
SELECT mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets
FROM mailboxes WHERE account_id = :account_id ORDER BY name;

-- name: find_mailbox
-- One mailbox by its name.
SELECT mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets
FROM mailboxes WHERE account_id = :account_id AND name = :name;

-- name: messages_of_mailbox
-- The messages of a mailbox after a UID.
SELECT mailbox_id, uid, content_id, message_id, modseq, flags, internal_at, size
FROM messages WHERE mailbox_id = :mailbox_id AND uid > :after_uid ORDER BY uid LIMIT :limit;

-- name: content_of_message
-- What a reader gets of a message: the prefix, and the octets or the file that holds them.
SELECT m.prefix, c.octets, c.file
FROM messages AS m JOIN contents AS c ON c.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid = :uid;

-- name: next_modseq
-- Counts one change of the mailbox.
UPDATE mailboxes SET highest_modseq = highest_modseq + 1 WHERE mailbox_id = :mailbox_id
RETURNING highest_modseq;

-- name: set_flags
-- Other flags for a message, from this change on.
UPDATE messages SET flags = :flags, modseq = :modseq WHERE mailbox_id = :mailbox_id AND uid = :uid;

-- name: remove_message
-- A message goes; its content and size are told.
DELETE FROM messages WHERE mailbox_id = :mailbox_id AND uid = :uid RETURNING content_id, size;

-- name: count_expunged
-- The mailbox holds less, and changed.
UPDATE mailboxes SET
    highest_modseq = highest_modseq + 1,
    messages = messages - :messages,
    octets = octets - :octets
WHERE mailbox_id = :mailbox_id;

-- name: remove_unused_content
-- A content goes when nothing uses it; its file is told.
DELETE FROM contents
WHERE content_id = :content_id
    AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.content_id = contents.content_id)
    AND NOT EXISTS (SELECT 1 FROM queued_messages AS q WHERE q.content_id = contents.content_id)
RETURNING file;

-- name: remove_mailbox
-- An empty mailbox goes.
DELETE FROM mailboxes WHERE mailbox_id = :mailbox_id;
