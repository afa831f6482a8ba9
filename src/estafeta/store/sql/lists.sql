-- name: set_owner
-- An alias becomes a list, or a list gets another owner.
INSERT INTO lists (alias, owner) VALUES (:alias, :owner)
ON CONFLICT (alias) DO UPDATE SET owner = excluded.owner;

-- name: find_list
-- The owner of one list.
SELECT owner FROM lists WHERE alias = :alias;

-- name: list_lists
-- All lists with their owners.
SELECT alias, owner FROM lists ORDER BY alias;

-- name: remove_list
-- A list becomes an alias as others are.
DELETE FROM lists WHERE alias = :alias;
