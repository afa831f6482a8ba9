-- name: add_alias
-- An address that is an alias: it has no account.
INSERT INTO addresses (address, domain_id, account_id) VALUES (:address, :domain_id, NULL);

-- name: add_member
-- One member of an alias, and the form in which it is looked for.
INSERT INTO alias_members (alias, position, member, lowered) VALUES (:alias, :position, :member, :lowered);

-- name: find_alias
-- The members of one alias in their order.
SELECT member FROM alias_members WHERE alias = :address ORDER BY position;

-- name: list_aliases
-- All aliases with their members in order.
SELECT alias, member FROM alias_members ORDER BY alias, position;

-- name: remove_alias
-- An alias goes with its members; an account's address stays.
DELETE FROM addresses WHERE address = :address AND account_id IS NULL;

-- name: aliases_of_member
-- The aliases that lead to an address.
SELECT alias FROM alias_members WHERE lowered = :address ORDER BY alias;
