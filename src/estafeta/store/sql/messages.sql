-- name: messages_of_mailbox
-- The messages of a mailbox within a range of UIDs.
SELECT mailbox_id, uid, content_id, message_id, modseq, flags, internal_at, saved_at, size, prefix
FROM messages WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last ORDER BY uid LIMIT :limit;

-- name: state_of_mailbox
-- What a session knows of each message of a mailbox, from a UID on.
SELECT uid, flags, modseq, content_id FROM messages WHERE mailbox_id = :mailbox_id AND uid >= :first ORDER BY uid;

-- name: changed_within
-- Messages in a range that came or changed after a MODSEQ.
SELECT uid, flags, modseq FROM messages
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last AND modseq > :modseq ORDER BY uid;

-- name: flagged_since
-- Where flags were changed after a MODSEQ.
SELECT first_uid, last_uid FROM flagged
WHERE mailbox_id = :mailbox_id AND modseq > :modseq AND first_uid < :below;

-- name: note_flagged
-- Flags were changed in a range.
INSERT INTO flagged (mailbox_id, modseq, first_uid, last_uid) VALUES (:mailbox_id, :modseq, :first, :last);

-- name: count_flagged
-- How many ranges are noted, as far as that matters.
SELECT count(*) FROM (SELECT 1 FROM flagged WHERE mailbox_id = :mailbox_id LIMIT :limit) AS notes;

-- name: newest_flagged_forgotten
-- The MODSEQ up to which notes are forgotten.
SELECT modseq FROM flagged WHERE mailbox_id = :mailbox_id ORDER BY modseq DESC LIMIT 1 OFFSET :kept;

-- name: forget_flagged
-- Old notes go.
DELETE FROM flagged WHERE mailbox_id = :mailbox_id AND modseq <= :modseq;

-- name: set_flagged_after
-- From where on changes of flags are known.
UPDATE mailboxes SET flagged_after = :modseq WHERE mailbox_id = :mailbox_id;

-- name: expunged_since
-- What was expunged after a MODSEQ.
SELECT first_uid, last_uid FROM expunged WHERE mailbox_id = :mailbox_id AND modseq > :modseq ORDER BY first_uid;

-- name: content_of_message
-- What a reader gets of a message: the prefix, and the octets or the file that holds them.
SELECT m.prefix, c.content_id, c.octets, c.file, c.digest
FROM messages AS m JOIN contents AS c ON c.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid = :uid;

-- name: contents_of_messages
-- What a reader gets of the messages in a range of UIDs.
SELECT m.uid, m.prefix, c.content_id, c.octets, c.file, c.digest
FROM messages AS m JOIN contents AS c ON c.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;

-- name: content_by_id
-- The octets of a content, or the file that holds them, and its digest.
SELECT content_id, octets, file, digest FROM contents WHERE content_id = :content_id;

-- name: sizes_of_messages
-- How large the messages in a range of UIDs are.
SELECT uid, size FROM messages WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last ORDER BY uid;

-- name: keywords_of_mailbox
-- The keywords of a mailbox.
SELECT bit, name FROM keywords WHERE mailbox_id = :mailbox_id ORDER BY bit;

-- name: add_keyword
-- A keyword that the mailbox did not have.
INSERT INTO keywords (mailbox_id, bit, name, lowered) VALUES (:mailbox_id, :bit, :name, :lowered);

-- name: remove_keyword
-- A keyword that no message has.
DELETE FROM keywords WHERE mailbox_id = :mailbox_id AND bit = :bit;

-- name: all_flags
-- Each flag that any message of the mailbox has.
SELECT DISTINCT flags FROM messages WHERE mailbox_id = :mailbox_id;

-- name: next_modseq
-- Counts one change of the mailbox.
UPDATE mailboxes SET highest_modseq = highest_modseq + 1 WHERE mailbox_id = :mailbox_id
RETURNING highest_modseq;

-- name: changing
-- The messages in a range that a change of flags changes: how many become seen and deleted, or not any more.
SELECT count(*),
    coalesce(sum((((flags & :keep) | :add) & 1) - (flags & 1)), 0),
    coalesce(sum(((((flags & :keep) | :add) & 8) - (flags & 8)) / 8), 0),
    coalesce(sum(((((flags & :keep) | :add) & 8) - (flags & 8)) / 8 * size), 0)
FROM messages
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last AND (flags & :keep) | :add <> flags
    AND modseq <= :unchanged_since;

-- name: is_changing
-- Whether a change of flags changes any message in a range.
SELECT 1 FROM messages
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last AND (flags & :keep) | :add <> flags
    AND modseq <= :unchanged_since LIMIT 1;

-- name: change_flags
-- Other flags for messages in a range: those kept, and those added.
UPDATE messages SET flags = (flags & :keep) | :add, modseq = :modseq
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last AND (flags & :keep) | :add <> flags
    AND modseq <= :unchanged_since;

-- name: changed_after
-- Messages in a range that were changed after a MODSEQ.
SELECT uid FROM messages
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last AND modseq > :unchanged_since ORDER BY uid;

-- name: count_flags
-- The counters of a mailbox after a change of flags.
UPDATE mailboxes SET
    unseen = unseen - :seen, deleted = deleted + :deleted, deleted_octets = deleted_octets + :deleted_octets
WHERE mailbox_id = :mailbox_id;

-- name: remove_message
-- A message goes; its content, size and flags are told.
DELETE FROM messages WHERE mailbox_id = :mailbox_id AND uid = :uid RETURNING content_id, size, flags;

-- name: deleted_in_range
-- Messages in a range that are \Deleted.
SELECT uid FROM messages
WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last AND flags & 8 <> 0 ORDER BY uid LIMIT :limit;

-- name: count_expunged
-- The mailbox holds less, and changed.
UPDATE mailboxes SET
    highest_modseq = highest_modseq + 1,
    messages = messages - :messages,
    octets = octets - :octets,
    unseen = unseen - :unseen,
    deleted = deleted - :deleted,
    deleted_octets = deleted_octets - :deleted_octets
WHERE mailbox_id = :mailbox_id RETURNING highest_modseq;

-- name: note_expunged
-- A range of UIDs is gone.
INSERT INTO expunged (mailbox_id, modseq, first_uid, last_uid) VALUES (:mailbox_id, :modseq, :first, :last);

-- name: count_notes
-- How many ranges are noted, as far as that matters.
SELECT count(*) FROM (SELECT 1 FROM expunged WHERE mailbox_id = :mailbox_id LIMIT :limit) AS notes;

-- name: newest_forgotten
-- The MODSEQ up to which notes are forgotten.
SELECT modseq FROM expunged WHERE mailbox_id = :mailbox_id ORDER BY modseq DESC LIMIT 1 OFFSET :kept;

-- name: forget_expunged
-- Old notes go.
DELETE FROM expunged WHERE mailbox_id = :mailbox_id AND modseq <= :modseq;

-- name: set_expunged_after
-- From where on expunges are known.
UPDATE mailboxes SET expunged_after = :modseq WHERE mailbox_id = :mailbox_id;

-- name: remove_unused_content
-- A content goes when nothing uses it; its file is told.
DELETE FROM contents
WHERE content_id = :content_id
    AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.content_id = contents.content_id)
    AND NOT EXISTS (SELECT 1 FROM queued_messages AS q WHERE q.content_id = contents.content_id)
RETURNING file;

-- name: room_of_account
-- The address of an account, and what its quotas leave (NULL without one); what is being removed counts no more.
SELECT
    d.address,
    a.quota_octets - (SELECT sum(m.octets) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%'),
    a.quota_messages - (SELECT sum(m.messages) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%')
FROM accounts AS a JOIN addresses AS d ON d.account_id = a.account_id
WHERE a.account_id = :account_id;

-- name: add_copy
-- A message in one more mailbox, or in another one.
INSERT INTO messages
    (mailbox_id, uid, delivery_id, message_id, content_id, prefix, modseq, flags, internal_at, saved_at, size)
VALUES (:mailbox_id, :uid, :delivery_id, :message_id, :content_id, :prefix, :modseq, :flags, :internal_at, :saved_at,
    :size);

-- name: count_added
-- More messages in a mailbox.
UPDATE mailboxes SET
    uid_next = uid_next + :messages,
    highest_modseq = :modseq,
    messages = messages + :messages,
    octets = octets + :octets,
    unseen = unseen + :unseen,
    deleted = deleted + :deleted,
    deleted_octets = deleted_octets + :deleted_octets
WHERE mailbox_id = :mailbox_id;

-- name: add_content
-- The octets of an appended message, or the file that holds them.
INSERT INTO contents (content_id, size, octets, file, digest)
VALUES (:content_id, :size, :octets, :file, :digest);

-- name: claim_recent
-- From now on all that is there was told of.
UPDATE mailboxes SET recent_uid = uid_next WHERE mailbox_id = :mailbox_id AND recent_uid < uid_next;

-- name: count_from
-- How many messages have this UID or a greater one.
SELECT count(*) FROM messages WHERE mailbox_id = :mailbox_id AND uid >= :uid;

-- name: contents_of_account
-- Every content of an account.
SELECT DISTINCT m.content_id FROM mailboxes AS b JOIN messages AS m ON m.mailbox_id = b.mailbox_id
WHERE b.account_id = :account_id;
