-- Statements that are run for each destination say `IN (:x)` for `= :x` beside an order, and `LIMIT :x + 0`. SQLite would
-- look at these values to choose its way, and do so anew for each other value, which costs ten times the statement.

-- name: add_message
-- An envelope under which a content goes on.
INSERT INTO queued_messages
    (message_id, content_id, reverse_path, accepted_at, size, account, smtputf8, body, envid, ret, requires_tls,
    priority, prefix, deliver_by_at, by_mode, hold, release_at)
VALUES (:message_id, :content_id, :reverse_path, :accepted_at, :size, :account, :smtputf8, :body, :envid, :ret,
    :requires_tls, :priority, :prefix, :deliver_by_at, :by_mode, :hold, :release_at);

-- name: add_recipient
-- One recipient of it, as it is given.
INSERT INTO queued_recipients
    (recipient_id, message_id, forward_path, destination, original, notify, status, priority, attempts,
    next_attempt_at, review_at, is_delay_told, is_by_told, last_reply, holder_id)
VALUES (:recipient_id, :message_id, :forward_path, :destination, :original, :notify, :status, :priority, :attempts,
    :next_attempt_at, :review_at, :is_delay_told, :is_by_told, :last_reply, :holder_id);

-- name: is_queued
-- Whether a message waits for a forward-path at a destination already.
SELECT 1 FROM queued_recipients
WHERE message_id = :message_id AND forward_path = :forward_path AND destination = :destination;

-- name: release_message
-- A message leaves before its time.
UPDATE queued_messages SET release_at = :now WHERE message_id = :message_id AND release_at > :now;

-- name: count_held
-- How many messages of an account are held until later.
SELECT count(*) FROM queued_messages WHERE account = :account AND hold IS NOT NULL AND release_at > :now;

-- name: next_review
-- When the first is to be looked at.
SELECT min(review_at) FROM queued_recipients WHERE holder_id IS NULL AND status <> 'held';

-- name: recipients
-- Queued recipients, the oldest first.
SELECT * FROM queue ORDER BY recipient_id LIMIT :limit;

-- name: active_recipients
-- Those that were not tried yet, or are to be tried again now, the oldest first.
SELECT * FROM queue WHERE status = 'active' ORDER BY recipient_id LIMIT :limit;

-- name: waiting_recipients
-- Those that stand at one of the other statuses, the oldest first.
SELECT * FROM queue WHERE status = :status AND status <> 'active' ORDER BY recipient_id LIMIT :limit;

-- name: find_recipients
-- The recipients of a message, of an accepted mail object under all its envelopes, or one recipient.
SELECT * FROM queue
WHERE message_id = :id OR recipient_id = :id
    OR message_id IN (SELECT m.message_id FROM queued_messages AS m WHERE m.content_id = :id)
ORDER BY recipient_id;

-- name: claimed_at
-- Recipients at a destination that processes have claimed; status NULL stands for any.
SELECT * FROM queue
WHERE destination = :destination AND holder_id IS NOT NULL AND status <> 'held' AND status = coalesce(:status, status)
LIMIT :limit;

-- name: unclaimed_at
-- Those that wait there unclaimed, in the order in which they are tried.
SELECT * FROM queue
WHERE destination IN (:destination) AND holder_id IS NULL AND status <> 'held' AND status = coalesce(:status, status)
ORDER BY priority DESC, next_attempt_at LIMIT :limit;

-- name: held_at
-- Those that are held there.
SELECT * FROM queue
WHERE destination = :destination AND status = 'held' AND status <> 'active' AND status = coalesce(:status, status)
LIMIT :limit;

-- name: alive_holders
-- The processes that relay, of all that once did.
SELECT holder_id FROM holders WHERE alive_until > :now;

-- name: backlog
-- How many wait at a destination, up to a number, and how many of it living and dead processes have claimed.
SELECT
    (
        SELECT count(*) FROM (
            SELECT 1 FROM queued_recipients
            WHERE destination = :destination AND holder_id IS NULL AND status <> 'held' LIMIT :most
        ) AS waiting
    ),
    count(h.holder_id),
    count(*) - count(h.holder_id)
FROM queued_recipients AS r LEFT JOIN holders AS h ON h.holder_id = r.holder_id AND h.alive_until > :now
WHERE r.destination = :destination AND r.holder_id IS NOT NULL AND r.status <> 'held';

-- name: backlogs
-- How many wait at each destination, how many processes have in hand, and when the first is due; most first.
SELECT destination, sum(waiting), sum(in_hand), min(next_attempt_at) FROM (
    SELECT destination, count(*) AS waiting, 0 AS in_hand, min(next_attempt_at) AS next_attempt_at
    FROM queued_recipients WHERE holder_id IS NULL AND status <> 'held' GROUP BY destination
    UNION ALL
    SELECT r.destination, count(*) - count(h.holder_id), count(h.holder_id),
        min(CASE WHEN h.holder_id IS NULL THEN r.next_attempt_at END)
    FROM queued_recipients AS r LEFT JOIN holders AS h ON h.holder_id = r.holder_id AND h.alive_until > :now
    WHERE r.holder_id IS NOT NULL AND r.status <> 'held' GROUP BY r.destination
) AS parts
GROUP BY destination ORDER BY sum(waiting) + sum(in_hand) DESC, destination LIMIT :limit;

-- name: count_recipients
-- How many recipients there are.
SELECT count(*) FROM queued_recipients;

-- name: count_waiting
-- How many of them stand at each other status than active.
SELECT status, count(*) FROM queued_recipients WHERE status <> 'active' GROUP BY status;

-- name: due_destinations
-- Destinations with something due, by seeking from the first of a destination and priority to the first of the next.
WITH RECURSIVE heads (recipient_id) AS (
    SELECT (
        SELECT recipient_id FROM queued_recipients
        WHERE destination > :after AND holder_id IS NULL AND status <> 'held'
        ORDER BY destination, priority DESC, next_attempt_at LIMIT 1
    )
    UNION ALL
    SELECT coalesce(
        (
            SELECT n.recipient_id FROM queued_recipients AS n
            WHERE r.next_attempt_at > :now AND n.destination = r.destination AND n.priority < r.priority
                AND n.holder_id IS NULL AND n.status <> 'held'
            ORDER BY n.priority DESC, n.next_attempt_at LIMIT 1
        ),
        (
            SELECT n.recipient_id FROM queued_recipients AS n
            WHERE n.destination > r.destination AND n.holder_id IS NULL AND n.status <> 'held'
            ORDER BY n.destination, n.priority DESC, n.next_attempt_at LIMIT 1
        )
    )
    FROM heads JOIN queued_recipients AS r ON r.recipient_id = heads.recipient_id
)
SELECT r.destination
FROM heads JOIN queued_recipients AS r ON r.recipient_id = heads.recipient_id
WHERE r.next_attempt_at <= :now
    AND NOT EXISTS (SELECT 1 FROM destinations AS d WHERE d.destination = r.destination AND d.blocked_until > :now)
LIMIT :limit + 0;

-- name: levels
-- The highest priority below another at a destination, and the lowest one; no row for a destination that is blocked.
SELECT
    (
        SELECT max(priority) FROM queued_recipients
        WHERE destination IN (:destination) AND priority < :below AND holder_id IS NULL AND status <> 'held'
    ),
    (
        SELECT min(priority) FROM queued_recipients
        WHERE destination IN (:destination) AND priority < :below AND holder_id IS NULL AND status <> 'held'
    )
WHERE NOT EXISTS (SELECT 1 FROM destinations WHERE destination = :destination AND blocked_until > :now);

-- name: due_recipients
-- What is due at a destination and of one priority, the longest due first.
SELECT * FROM queue
WHERE destination IN (:destination) AND priority IN (:priority) AND next_attempt_at <= :now
    AND holder_id IS NULL AND status <> 'held'
ORDER BY next_attempt_at LIMIT :limit + 0;

-- name: unclaimed_recipients
-- What waits at a destination, due or not.
SELECT * FROM queue WHERE destination IN (:destination) AND holder_id IS NULL AND status <> 'held'
ORDER BY priority DESC, next_attempt_at LIMIT :limit + 0;

-- name: recipients_to_review
-- What must be looked at, the longest due first.
SELECT * FROM queue WHERE review_at <= :now AND holder_id IS NULL AND status <> 'held' ORDER BY review_at LIMIT :limit + 0;

-- name: claim
-- The recipients are a process's own now.
UPDATE queued_recipients SET holder_id = :holder WHERE recipient_id IN (:ids) AND holder_id IS NULL;

-- name: claimed
-- Which of the recipients a process has claimed, as one text: each row more would be one more turn for the interpreter.
SELECT string_agg(CAST(recipient_id AS TEXT), ' ') FROM queued_recipients
WHERE recipient_id IN (:ids) AND holder_id = :holder;

-- name: defer
-- A recipient waits for its next attempt, unclaimed; held ones stay held. Many of these are written as one statement.
WITH later (recipient_id, attempts, next_attempt_at, review_at, last_reply, is_delay_told, is_by_told) AS (
    VALUES (:recipient_id, :attempts, :next_attempt_at, :review_at, :last_reply, :is_delay_told, :is_by_told)
)
UPDATE queued_recipients SET
    status = CASE
        WHEN queued_recipients.status = 'held' OR later.attempts = 0 THEN queued_recipients.status ELSE 'deferred'
    END,
    attempts = queued_recipients.attempts + later.attempts,
    next_attempt_at = later.next_attempt_at,
    review_at = coalesce(later.review_at, queued_recipients.review_at, later.next_attempt_at),
    last_reply = coalesce(later.last_reply, queued_recipients.last_reply),
    is_delay_told = CASE WHEN later.is_delay_told = 1 THEN 1 ELSE queued_recipients.is_delay_told END,
    is_by_told = CASE WHEN later.is_by_told = 1 THEN 1 ELSE queued_recipients.is_by_told END,
    holder_id = NULL
FROM later WHERE queued_recipients.recipient_id = later.recipient_id;

-- name: put_back
-- The recipients are anybody's again, and are looked at some time after their acceptance.
UPDATE queued_recipients SET
    holder_id = NULL,
    review_at = coalesce(review_at, :review_after + (
        SELECT m.accepted_at FROM queued_messages AS m WHERE m.message_id = queued_recipients.message_id
    ))
WHERE recipient_id IN (:ids) AND holder_id = :holder;

-- name: redirect
-- The recipients wait for another destination, unless it has the same forward-path of the message already.
UPDATE queued_recipients SET
    destination = :destination, holder_id = NULL, review_at = coalesce(review_at, next_attempt_at)
WHERE recipient_id IN (:ids) AND holder_id = :holder
    AND NOT EXISTS (
        SELECT 1 FROM queued_recipients AS o
        WHERE o.message_id = queued_recipients.message_id AND o.forward_path = queued_recipients.forward_path
            AND o.destination = :destination AND o.recipient_id <> queued_recipients.recipient_id
    );

-- name: make_level_due
-- What is not due yet at a destination and of one priority is due now.
UPDATE queued_recipients SET status = 'active', next_attempt_at = :now
WHERE recipient_id IN (
    SELECT recipient_id FROM queued_recipients
    WHERE destination = :destination AND priority = :priority AND next_attempt_at > :now
        AND holder_id IS NULL AND status <> 'held'
    ORDER BY next_attempt_at LIMIT :limit
);

-- name: make_due
-- The recipients are tried next; held ones, whose time may be over, before they are looked at.
UPDATE queued_recipients SET
    status = 'active',
    next_attempt_at = :now,
    review_at = CASE WHEN status = 'held' AND review_at < :review_at THEN :review_at ELSE review_at END
WHERE recipient_id IN (:ids);

-- name: hold
-- The recipients wait for the operator.
UPDATE queued_recipients SET status = 'held' WHERE recipient_id IN (:ids);

-- name: content_of_message
-- What is relayed: the prefix, and the octets or the file that holds them.
SELECT m.prefix, c.content_id, c.octets, c.file, c.digest
FROM queued_messages AS m JOIN contents AS c ON c.content_id = m.content_id
WHERE m.message_id = :message_id;
