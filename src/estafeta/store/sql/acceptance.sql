-- name: add_content
-- The octets of an accepted mail object, or the file that holds them.
INSERT INTO contents (content_id, size, octets, file) VALUES (:content_id, :size, :octets, :file);

-- name: count_delivery
-- One more message in a mailbox: its UID and MODSEQ, and whether the account has a quota that must be looked at.
UPDATE mailboxes SET
    uid_next = uid_next + 1,
    highest_modseq = highest_modseq + 1,
    messages = messages + 1,
    octets = octets + :size
WHERE mailbox_id = :mailbox_id
RETURNING uid_next - 1, highest_modseq, account_id, (
    SELECT a.quota_octets IS NOT NULL OR a.quota_messages IS NOT NULL
    FROM accounts AS a WHERE a.account_id = mailboxes.account_id
);

-- name: exceeded_quota
-- The address of an account that holds more than one of its quotas allows.
SELECT d.address
FROM accounts AS a JOIN addresses AS d ON d.account_id = a.account_id
WHERE a.account_id = :account_id AND (
    (SELECT sum(m.octets) FROM mailboxes AS m WHERE m.account_id = a.account_id) > a.quota_octets
    OR (SELECT sum(m.messages) FROM mailboxes AS m WHERE m.account_id = a.account_id) > a.quota_messages
);

-- name: add_message
-- A delivered message; the content and the delivery have the id of the mail object.
INSERT INTO messages
    (mailbox_id, uid, delivery_id, message_id, content_id, prefix, modseq, flags, internal_at, size)
VALUES (:mailbox_id, :uid, :message_id, :message_id, :message_id, :prefix, :modseq, '', :now, :size);

-- name: add_queued_message
-- A mail object that waits to be relayed.
INSERT INTO queued_messages (message_id, content_id, reverse_path, smtputf8, body, accepted_at, size)
VALUES (:message_id, :message_id, :reverse_path, :smtputf8, :body, :now, :size);

-- name: add_queued_recipient
-- One recipient of it, due at once; the same forward-path at the same destination is there once.
INSERT INTO queued_recipients
    (recipient_id, message_id, forward_path, destination, status, attempts, next_attempt_at)
VALUES (:recipient_id, :message_id, :forward_path, :destination, :status, 0, :now)
ON CONFLICT (message_id, forward_path, destination) DO NOTHING;
