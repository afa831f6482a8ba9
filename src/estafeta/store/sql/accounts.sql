-- name: add_account
-- A new account, able to log in once it has a password.
INSERT INTO accounts (account_id, is_enabled, quota_octets, quota_messages, created_at)
VALUES (:account_id, 1, :quota_octets, :quota_messages, :now);

-- name: add_address
-- The address of an account.
INSERT INTO addresses (address, domain_id, account_id) VALUES (:address, :domain_id, :account_id);

-- name: find_address
-- Whether an address is taken, and whose it is; no account for an alias.
SELECT account_id FROM addresses WHERE address = :address;

-- name: find_account
-- One account by its address, with what its mailboxes hold.
SELECT a.account_id, d.address, a.is_enabled,
    EXISTS (SELECT 1 FROM credentials AS c WHERE c.account_id = a.account_id),
    a.quota_octets, a.quota_messages,
    coalesce((SELECT sum(m.octets) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%'), 0),
    coalesce((SELECT sum(m.messages) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%'), 0),
    a.created_at
FROM addresses AS d JOIN accounts AS a ON a.account_id = d.account_id
WHERE d.address = :address;

-- name: list_accounts
-- All accounts, with what their mailboxes hold.
SELECT a.account_id, d.address, a.is_enabled,
    EXISTS (SELECT 1 FROM credentials AS c WHERE c.account_id = a.account_id),
    a.quota_octets, a.quota_messages,
    coalesce((SELECT sum(m.octets) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%'), 0),
    coalesce((SELECT sum(m.messages) FROM mailboxes AS m
        WHERE m.account_id = a.account_id AND m.name NOT LIKE '/%'), 0),
    a.created_at
FROM addresses AS d JOIN accounts AS a ON a.account_id = d.account_id
ORDER BY d.address;

-- name: remove_address
-- The account is found no more.
DELETE FROM addresses WHERE account_id = :account_id;

-- name: remove_credentials
-- The account cannot log in any more.
DELETE FROM credentials WHERE account_id = :account_id;

-- name: remove_account
-- An account without mailboxes goes.
DELETE FROM accounts WHERE account_id = :account_id;

-- name: find_removed
-- An account whose removal is not finished.
SELECT a.account_id FROM accounts AS a
WHERE NOT EXISTS (SELECT 1 FROM addresses AS d WHERE d.account_id = a.account_id)
LIMIT 1;

-- name: set_credentials
-- The password hashes of an account, new or replaced.
INSERT INTO credentials
    (account_id, argon2, scram_salt, scram_iterations, scram_stored_key, scram_server_key,
    scram_sha_1_stored_key, scram_sha_1_server_key, cram_md5)
VALUES (:account_id, :argon2, :salt, :iterations, :stored_key, :server_key, :stored_key_1, :server_key_1, :cram_md5)
ON CONFLICT (account_id) DO UPDATE SET
    argon2 = excluded.argon2,
    scram_salt = excluded.scram_salt,
    scram_iterations = excluded.scram_iterations,
    scram_stored_key = excluded.scram_stored_key,
    scram_server_key = excluded.scram_server_key,
    scram_sha_1_stored_key = excluded.scram_sha_1_stored_key,
    scram_sha_1_server_key = excluded.scram_sha_1_server_key,
    cram_md5 = excluded.cram_md5;

-- name: find_credentials
-- The password hashes behind an address.
SELECT c.argon2, c.scram_salt, c.scram_iterations, c.scram_stored_key, c.scram_server_key,
    c.scram_sha_1_stored_key, c.scram_sha_1_server_key, c.cram_md5
FROM addresses AS d JOIN credentials AS c ON c.account_id = d.account_id
WHERE d.address = :address;

-- name: set_enabled
-- Whether an account may log in.
UPDATE accounts SET is_enabled = :is_enabled WHERE account_id = :account_id;

-- name: set_quota
-- How much an account may keep.
UPDATE accounts SET quota_octets = :quota_octets, quota_messages = :quota_messages
WHERE account_id = :account_id;

-- name: remove_annotations
-- What the account wrote about mailboxes of others goes with it.
DELETE FROM metadata WHERE account_id = :account_id;

-- name: account_ids
-- All accounts that are not being removed.
SELECT account_id FROM addresses WHERE account_id IS NOT NULL ORDER BY account_id;
