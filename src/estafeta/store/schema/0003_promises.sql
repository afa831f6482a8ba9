-- What senders asked of time: mail that is held until later (RFC 4865), and mail that is to be delivered within a time
-- (RFC 2852).

-- The instant by which it is to be delivered, and the mode of BY with its trace.
ALTER TABLE queued_messages ADD COLUMN deliver_by_at REAL;
ALTER TABLE queued_messages ADD COLUMN by_mode TEXT
    CHECK (by_mode IN ('N', 'NT', 'R', 'RT') AND (by_mode IS NULL) = (deliver_by_at IS NULL));
-- What the sender asked for, as notifications repeat it: `for;3600` or `until;` and a date-time.
ALTER TABLE queued_messages ADD COLUMN hold TEXT;
-- When it leaves, or left; NULL for mail that nobody asked to hold.
ALTER TABLE queued_messages ADD COLUMN release_at REAL CHECK ((hold IS NULL) = (release_at IS NULL));
-- The sender was told that the time of BY is over.
ALTER TABLE queued_recipients ADD COLUMN is_by_told INTEGER NOT NULL DEFAULT 0 CHECK (is_by_told IN (0, 1));

-- How much an account has handed in to be held.
CREATE INDEX queued_messages_held ON queued_messages (account, release_at) WHERE hold IS NOT NULL;

DROP VIEW queue;
CREATE VIEW queue AS
SELECT r.recipient_id, r.forward_path, r.destination, r.status, r.next_attempt_at, r.review_at, r.original, r.notify,
    r.attempts, r.last_reply, r.holder_id, r.is_delay_told, r.is_by_told, r.priority, r.message_id, m.content_id,
    m.reverse_path, m.accepted_at, m.size, m.account, m.smtputf8, m.body, m.envid, m.ret, m.requires_tls, m.prefix,
    m.deliver_by_at, m.by_mode, m.hold, m.release_at
FROM queued_recipients AS r JOIN queued_messages AS m ON m.message_id = r.message_id;
