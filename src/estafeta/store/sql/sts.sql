-- name: find_policy
-- The policy of a domain, when its time is not over.
SELECT policy_id, policy, expires_at FROM sts_policies WHERE domain = :domain AND expires_at > :now;

-- name: keep_policy
-- A fetched policy takes the place of the one before.
INSERT INTO sts_policies (domain, policy_id, policy, expires_at)
VALUES (:domain, :policy_id, :policy, :expires_at)
ON CONFLICT (domain) DO UPDATE SET policy_id = excluded.policy_id, policy = excluded.policy,
    expires_at = excluded.expires_at;

-- name: remove_expired
-- Policies whose time is over go, some at a time.
DELETE FROM sts_policies WHERE domain IN (
    SELECT domain FROM sts_policies WHERE expires_at <= :now LIMIT :limit
);
