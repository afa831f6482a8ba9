-- name: entries_of_mailbox
-- The list of one mailbox.
SELECT identifier, rights FROM acl WHERE mailbox_id = :mailbox_id ORDER BY identifier;

-- name: rights_for
-- What the list says of one user, and of anyone.
SELECT identifier, rights FROM acl
WHERE mailbox_id = :mailbox_id AND identifier IN (:address, 'anyone', '-' || :address, '-anyone');

-- name: set_entry
-- Rights for an identifier, new or replaced.
INSERT INTO acl (mailbox_id, identifier, rights) VALUES (:mailbox_id, :identifier, :rights)
ON CONFLICT (mailbox_id, identifier) DO UPDATE SET rights = excluded.rights;

-- name: remove_entry
-- An entry goes.
DELETE FROM acl WHERE mailbox_id = :mailbox_id AND identifier = :identifier;

-- name: inherit
-- A new mailbox has the list of the one above it.
INSERT INTO acl (mailbox_id, identifier, rights)
SELECT :mailbox_id, identifier, rights FROM acl WHERE mailbox_id = :parent_id;

-- name: shared_with
-- All that the lists of other accounts' mailboxes say of one user, and of anyone.
SELECT d.address, m.mailbox_id, a.identifier, a.rights
FROM acl AS a
JOIN mailboxes AS m ON m.mailbox_id = a.mailbox_id
JOIN addresses AS d ON d.account_id = m.account_id
WHERE a.identifier IN (:address, 'anyone', '-' || :address, '-anyone') AND m.account_id <> :account_id
ORDER BY d.address;

-- name: rights_in_account
-- What the lists of one account's mailboxes say of one user, and of anyone.
SELECT a.mailbox_id, a.identifier, a.rights
FROM mailboxes AS m JOIN acl AS a ON a.mailbox_id = m.mailbox_id
WHERE m.account_id = :owner_id AND a.identifier IN (:address, 'anyone', '-' || :address, '-anyone');

-- name: address_of_account
-- The address of an account; none for one that is being removed.
SELECT address FROM addresses WHERE account_id = :account_id;

-- name: account_of_address
-- The account of an address; none for an alias.
SELECT account_id FROM addresses WHERE address = :address AND account_id IS NOT NULL;

-- name: accounts_named
-- The accounts that lists of a mailbox name.
SELECT d.account_id FROM acl AS a JOIN addresses AS d ON d.address = a.identifier
WHERE a.mailbox_id = :mailbox_id AND d.account_id IS NOT NULL;
