-- name: copies_of_message
-- The mailboxes that a mail object was delivered to and still is in.
SELECT a.address, b.name, m.uid, m.flags, b.mailbox_id
FROM messages AS m
JOIN mailboxes AS b ON b.mailbox_id = m.mailbox_id
JOIN addresses AS a ON a.account_id = b.account_id
WHERE m.delivery_id = :message_id AND b.name NOT LIKE '/%' ORDER BY a.address, b.name;
