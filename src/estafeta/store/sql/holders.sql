-- name: add
-- A process that relays.
INSERT INTO holders (holder_id, alive_until) VALUES (:holder, :until);

-- name: renew
-- It is alive for longer.
UPDATE holders SET alive_until = :until WHERE holder_id = :holder;

-- name: remove
-- It has ended.
DELETE FROM holders WHERE holder_id = :holder;

-- name: remove_dead
-- Those that gave no sign of life for too long.
DELETE FROM holders WHERE alive_until < :now;

-- name: alive
-- All others.
SELECT holder_id FROM holders;

-- name: next_with_claims
-- The next process, known or not, that has claimed anything.
SELECT min(holder_id) FROM queued_recipients WHERE holder_id > :after;

-- name: give_back
-- Claims of a process are anybody's again, and are looked at some time after their acceptance.
UPDATE queued_recipients SET
    holder_id = NULL,
    review_at = coalesce(review_at, :review_after + (
        SELECT m.accepted_at FROM queued_messages AS m WHERE m.message_id = queued_recipients.message_id
    ))
WHERE recipient_id IN (SELECT recipient_id FROM queued_recipients WHERE holder_id = :holder LIMIT :limit);
