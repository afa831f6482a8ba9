-- name: block
-- A destination is left alone until a time.
INSERT INTO destinations (destination, blocked_until, failures, last_reply)
VALUES (:destination, :blocked_until, :failures, :last_reply)
ON CONFLICT (destination) DO UPDATE SET
    blocked_until = excluded.blocked_until, failures = excluded.failures, last_reply = excluded.last_reply;

-- name: clear
-- It is like all others again.
DELETE FROM destinations WHERE destination = :destination;

-- name: find
-- What is known of it.
SELECT destination, blocked_until, failures, last_reply FROM destinations WHERE destination = :destination;

-- name: blocked
-- Those that are left alone now.
SELECT destination, blocked_until, failures, last_reply FROM destinations
WHERE blocked_until > :now ORDER BY blocked_until DESC LIMIT :limit;

-- name: prune
-- Those whose block was over long ago go.
DELETE FROM destinations WHERE destination IN (
    SELECT destination FROM destinations WHERE blocked_until < :before ORDER BY blocked_until LIMIT :limit
);
