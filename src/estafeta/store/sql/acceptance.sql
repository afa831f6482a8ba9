-- name: add_content
-- The octets of an accepted mail object, or the file that holds them.
INSERT INTO contents (content_id, size, octets, file, digest)
VALUES (:content_id, :size, :octets, :file, :digest);

-- name: find_box
-- What a delivery must know of a mailbox, and whether its account has a quota that must be looked at.
SELECT m.uid_next, m.highest_modseq, m.account_id, a.quota_octets IS NOT NULL OR a.quota_messages IS NOT NULL
FROM mailboxes AS m JOIN accounts AS a ON a.account_id = m.account_id
WHERE m.mailbox_id = :mailbox_id;

-- name: find_room
-- The address of an account, and what its quotas leave (NULL without one); what is being removed counts no more.
SELECT
    d.address,
    a.quota_octets - (SELECT sum(m.octets) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%'),
    a.quota_messages - (SELECT sum(m.messages) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%')
FROM accounts AS a JOIN addresses AS d ON d.account_id = a.account_id
WHERE a.account_id = :account_id;

-- name: count_deliveries
-- More messages in a mailbox, each with a UID and a MODSEQ.
UPDATE mailboxes SET
    uid_next = uid_next + :messages,
    highest_modseq = highest_modseq + :messages,
    messages = messages + :messages,
    octets = octets + :octets,
    unseen = unseen + :messages
WHERE mailbox_id = :mailbox_id;

-- name: add_message
-- A delivered message; the content and the delivery have the id of the mail object.
INSERT INTO messages
    (mailbox_id, uid, delivery_id, message_id, content_id, prefix, modseq, internal_at, saved_at, size)
VALUES (:mailbox_id, :uid, :message_id, :message_id, :message_id, :prefix, :modseq, :now, :now, :size);
