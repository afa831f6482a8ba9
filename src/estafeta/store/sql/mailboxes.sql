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
-- All mailboxes of an account, without those that are being removed.
SELECT mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets,
    unseen, deleted, deleted_octets, recent_uid, expunged_after,
    flagged_after
FROM mailboxes WHERE account_id = :account_id AND name NOT LIKE '/%' ORDER BY name;

-- name: count_mailboxes
-- How many mailboxes an account has, with those that are being removed.
SELECT count(*) FROM mailboxes WHERE account_id = :account_id;

-- name: all_mailboxes_of_account
-- All mailboxes of an account, and those that are being removed.
SELECT mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets,
    unseen, deleted, deleted_octets, recent_uid, expunged_after,
    flagged_after
FROM mailboxes WHERE account_id = :account_id ORDER BY name;

-- name: find_mailbox
-- One mailbox by its name.
SELECT mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets,
    unseen, deleted, deleted_octets, recent_uid, expunged_after,
    flagged_after
FROM mailboxes WHERE account_id = :account_id AND name = :name;

-- name: mailbox_by_id
-- One mailbox by its id.
SELECT mailbox_id, account_id, name, special_use, uid_validity, uid_next, highest_modseq, messages, octets,
    unseen, deleted, deleted_octets, recent_uid, expunged_after,
    flagged_after
FROM mailboxes WHERE mailbox_id = :mailbox_id AND name NOT LIKE '/%';

-- name: rename_mailbox
-- Another name.
UPDATE mailboxes SET name = :name WHERE mailbox_id = :mailbox_id;

-- name: set_special_use
-- Another use, or none.
UPDATE mailboxes SET special_use = :special_use WHERE mailbox_id = :mailbox_id;

-- name: hide_mailbox
-- A mailbox that is being removed: it has no name any more.
UPDATE mailboxes SET name = '/' || mailbox_id, special_use = NULL WHERE mailbox_id = :mailbox_id;

-- name: find_hidden
-- A mailbox whose removal is not finished.
SELECT mailbox_id FROM mailboxes WHERE name LIKE '/%' LIMIT 1;

-- name: remove_mailbox
-- An empty mailbox goes.
DELETE FROM mailboxes WHERE mailbox_id = :mailbox_id;

-- name: remove_annotations
-- What was written about a mailbox goes with it.
DELETE FROM metadata WHERE mailbox_id = :mailbox_id;
