-- name: find_key
-- The key of one user for one mailbox.
SELECT key FROM url_keys WHERE account_id = :account_id AND mailbox_id = :mailbox_id;

-- name: set_key
-- A key, the first one or another.
INSERT INTO url_keys (account_id, mailbox_id, key) VALUES (:account_id, :mailbox_id, :key)
ON CONFLICT (account_id, mailbox_id) DO UPDATE SET key = excluded.key;

-- name: remove_key
-- All URLs of one user for one mailbox are void.
DELETE FROM url_keys WHERE account_id = :account_id AND mailbox_id = :mailbox_id;

-- name: remove_keys
-- All URLs of one user are void.
DELETE FROM url_keys WHERE account_id = :account_id;
