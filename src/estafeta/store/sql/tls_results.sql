-- name: count_sessions
-- More sessions with one result.
INSERT INTO tls_results (day, domain, policy, failure, sessions)
VALUES (:day, :domain, :policy, :failure, :sessions)
ON CONFLICT (day, domain, policy, failure) DO UPDATE SET sessions = tls_results.sessions + excluded.sessions;

-- name: domains_before
-- What can be reported: days that are over and their domains, after the last one seen.
SELECT DISTINCT day, domain FROM tls_results
WHERE day < :before AND (day > :day OR (day = :day AND domain > :domain))
ORDER BY day, domain LIMIT :limit;

-- name: take_results
-- The results of one domain and day leave, and are given.
DELETE FROM tls_results WHERE day = :day AND domain = :domain RETURNING policy, failure, sessions;

-- name: remove_before
-- Days that are too old for a report go.
DELETE FROM tls_results WHERE day < :before;
