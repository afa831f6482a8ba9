-- name: add_moved
-- An alias becomes the address of one who has moved.
INSERT INTO moved (alias, is_forwarded) VALUES (:alias, :is_forwarded);

-- name: find_moved
-- Whether the mail of one who has moved goes on.
SELECT is_forwarded FROM moved WHERE alias = :alias;

-- name: list_moved
-- All who have moved.
SELECT alias, is_forwarded FROM moved ORDER BY alias;
