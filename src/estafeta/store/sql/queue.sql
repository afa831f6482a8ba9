-- name: recipients
-- Queued recipients, the oldest first.
SELECT r.recipient_id, r.message_id, m.reverse_path, r.forward_path, r.destination, r.status, r.attempts,
    m.accepted_at, r.next_attempt_at, r.last_reply, m.size
FROM queued_recipients AS r JOIN queued_messages AS m ON m.message_id = r.message_id
ORDER BY r.recipient_id LIMIT :limit;

-- name: recipients_with_status
-- Queued recipients that stand at one status, the oldest first.
SELECT r.recipient_id, r.message_id, m.reverse_path, r.forward_path, r.destination, r.status, r.attempts,
    m.accepted_at, r.next_attempt_at, r.last_reply, m.size
FROM queued_recipients AS r JOIN queued_messages AS m ON m.message_id = r.message_id
WHERE r.status = :status ORDER BY r.recipient_id LIMIT :limit;

-- name: find_recipients
-- The recipients of a message, or one recipient.
SELECT r.recipient_id, r.message_id, m.reverse_path, r.forward_path, r.destination, r.status, r.attempts,
    m.accepted_at, r.next_attempt_at, r.last_reply, m.size
FROM queued_recipients AS r JOIN queued_messages AS m ON m.message_id = r.message_id
WHERE r.message_id = :id OR r.recipient_id = :id ORDER BY r.recipient_id;

-- name: count_recipients
-- How many recipients stand at each status.
SELECT status, count(*) FROM queued_recipients GROUP BY status;

-- name: make_due
-- The recipients are tried next, held ones too.
UPDATE queued_recipients SET status = 'active', next_attempt_at = :now
WHERE message_id = :id OR recipient_id = :id;

-- name: hold
-- The recipients wait for the operator.
UPDATE queued_recipients SET status = 'held' WHERE message_id = :id OR recipient_id = :id;

-- name: release
-- The held recipients are tried next.
UPDATE queued_recipients SET status = 'active', next_attempt_at = :now
WHERE (message_id = :id OR recipient_id = :id) AND status = 'held';

-- name: remove_recipients
-- The recipients go.
DELETE FROM queued_recipients WHERE message_id = :id OR recipient_id = :id;

-- name: remove_finished_message
-- A message without queued recipients leaves the queue; its content is told.
DELETE FROM queued_messages
WHERE message_id = :message_id
    AND NOT EXISTS (SELECT 1 FROM queued_recipients AS r WHERE r.message_id = queued_messages.message_id)
RETURNING content_id;

-- name: content_of_queued_message
-- What is relayed: the octets or the file that holds them.
SELECT c.octets, c.file
FROM queued_messages AS m JOIN contents AS c ON c.content_id = m.content_id
WHERE m.message_id = :message_id;
