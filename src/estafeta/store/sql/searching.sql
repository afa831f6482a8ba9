-- name: came_between
-- Messages that came (INTERNALDATE) within a time.
SELECT uid FROM messages WHERE mailbox_id = :mailbox_id AND internal_at >= :low AND internal_at < :high ORDER BY uid;

-- name: saved_between
-- Messages that were put into the mailbox within a time.
SELECT uid FROM messages WHERE mailbox_id = :mailbox_id AND saved_at >= :low AND saved_at < :high ORDER BY uid;

-- name: sent_between
-- Messages whose Date, as it is written, is one of these days.
SELECT m.uid FROM messages AS m JOIN descriptions AS d ON d.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND d.sent_day >= :low AND d.sent_day < :high ORDER BY m.uid;

-- name: sized_between
-- Messages of a size.
SELECT uid FROM messages WHERE mailbox_id = :mailbox_id AND size > :above AND size < :below ORDER BY uid;

-- name: prefixes
-- What was put before the content of messages.
SELECT uid, prefix FROM messages WHERE mailbox_id = :mailbox_id AND length(prefix) > 0 ORDER BY uid;

-- name: identities
-- What EMAILID and THREADID are made of.
SELECT m.uid, m.content_id, m.prefix, d.message_ids
FROM messages AS m LEFT JOIN descriptions AS d ON d.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;

-- name: conversations
-- What messages are put into conversations by.
SELECT m.uid, coalesce(d.sent_at, m.internal_at), d.subject, d.is_reply, d.message_ids
FROM messages AS m JOIN descriptions AS d ON d.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id ORDER BY m.uid;
