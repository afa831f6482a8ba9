-- name: endings
-- What may leave with up to 64 recipients, as one text: ids, how many recipients, envelopes and copies there are.
SELECT string_agg(
    r.recipient_id || ' ' || m.message_id || ' ' || m.content_id || ' ' || c.size || ' ' || (
        SELECT count(*) FROM (
            SELECT 1 FROM queued_recipients AS o WHERE o.message_id = m.message_id LIMIT 65
        ) AS recipients
    ) || ' ' || (
        SELECT count(*) FROM (
            SELECT 1 FROM queued_messages AS e WHERE e.content_id = m.content_id LIMIT 65
        ) AS envelopes
    ) || ' ' || (
        SELECT count(*) FROM (SELECT 1 FROM messages AS d WHERE d.content_id = m.content_id LIMIT 1) AS copies
    ) || ' ' || coalesce(c.file, ''), ','
)
FROM queued_recipients AS r
JOIN queued_messages AS m ON m.message_id = r.message_id
JOIN contents AS c ON c.content_id = m.content_id
WHERE r.recipient_id IN (:ids) AND (r.holder_id = :holder OR :is_for_all = 1);

-- name: end_recipient
-- A recipient leaves; many of these are written as one statement.
DELETE FROM queued_recipients WHERE recipient_id IN (:recipient_id);

-- name: end_message
-- An envelope leaves after its last recipient.
DELETE FROM queued_messages WHERE message_id IN (:message_id);

-- name: end_content
-- A content leaves after its last use.
DELETE FROM contents WHERE content_id IN (:content_id);
