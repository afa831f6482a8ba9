-- name: subscriptions_of_account
-- What an account has subscribed to.
SELECT name FROM subscriptions WHERE account_id = :account_id;

-- name: subscribe
-- One more name.
INSERT INTO subscriptions (account_id, name) VALUES (:account_id, :name) ON CONFLICT DO NOTHING;

-- name: unsubscribe
-- One name less.
DELETE FROM subscriptions WHERE account_id = :account_id AND name = :name;

-- name: count_subscriptions
-- How many names are subscribed.
SELECT count(*) FROM subscriptions WHERE account_id = :account_id;
