-- name: add_domain
-- A new domain.
INSERT INTO domains (domain_id, name, created_at) VALUES (:domain_id, :name, :now);

-- name: find_domain
-- One domain by its name.
SELECT domain_id, name, catch_all, created_at FROM domains WHERE name = :name;

-- name: list_domains
-- All domains.
SELECT domain_id, name, catch_all, created_at FROM domains ORDER BY name;

-- name: count_addresses
-- How many accounts and aliases a domain has.
SELECT count(account_id), count(*) - count(account_id) FROM addresses WHERE domain_id = :domain_id;

-- name: remove_domain
-- A domain goes.
DELETE FROM domains WHERE domain_id = :domain_id;

-- name: set_catch_all
-- Who takes what nobody else takes.
UPDATE domains SET catch_all = :catch_all WHERE domain_id = :domain_id;
