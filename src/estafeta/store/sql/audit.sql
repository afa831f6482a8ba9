-- Each statement reads one step of a check, so that a store of millions of rows is read beside its server.

-- name: oldest_entry
-- From which id on the journal has everything.
SELECT min(entry_id) FROM journal;

-- name: entries
-- Entries in order; facts are given for those by which mail was accepted.
SELECT entry_id, is_redacted, CASE WHEN message_id = entry_id AND kind = 'transaction' THEN facts END
FROM journal WHERE entry_id > :after ORDER BY entry_id LIMIT :limit;

-- name: entries_about
-- What became later of messages in a range of ids.
SELECT message_id, is_redacted, facts FROM journal
WHERE message_id BETWEEN :first AND :last AND message_id <> entry_id ORDER BY entry_id;

-- name: accepted_entry
-- How one message was accepted.
SELECT is_redacted, facts FROM journal WHERE entry_id = :message_id AND message_id = entry_id AND kind = 'transaction';

-- name: facts_about
-- What became later of one message.
SELECT facts FROM journal WHERE message_id = :message_id AND message_id <> entry_id ORDER BY entry_id;

-- name: copies
-- Where the messages of a range of deliveries still are.
SELECT delivery_id, mailbox_id, uid FROM messages WHERE delivery_id BETWEEN :first AND :last;

-- name: waiting
-- Recipients in the queue of the mail objects in a range of ids.
SELECT q.content_id, r.recipient_id
FROM queued_messages AS q JOIN queued_recipients AS r ON r.message_id = q.message_id
WHERE q.content_id BETWEEN :first AND :last;

-- name: mailbox_notes
-- What a mailbox remembers of expunges; no row where it is gone.
SELECT name, expunged_after, highest_modseq FROM mailboxes WHERE mailbox_id = :mailbox_id;

-- name: expunged_after
-- Ranges of UIDs that were expunged after a MODSEQ.
SELECT first_uid, last_uid FROM expunged WHERE mailbox_id = :mailbox_id AND modseq > :modseq;

-- name: name_of_mailbox
-- A mailbox for people: the address of its account, and its name.
SELECT d.address, b.name FROM mailboxes AS b LEFT JOIN addresses AS d ON d.account_id = b.account_id
WHERE b.mailbox_id = :mailbox_id;

-- name: mailboxes
-- Mailboxes in the order of their ids, with the account they belong to.
SELECT b.mailbox_id, a.account_id, b.uid_next, b.highest_modseq, b.expunged_after, b.messages, b.octets, b.unseen,
    b.deleted, b.deleted_octets
FROM mailboxes AS b LEFT JOIN accounts AS a ON a.account_id = b.account_id
WHERE b.mailbox_id > :after ORDER BY b.mailbox_id LIMIT :limit;

-- name: sums
-- What the rows of mailboxes add up to, and their greatest UID and MODSEQ.
SELECT mailbox_id, count(*), sum(size), sum(CASE WHEN flags & 1 = 0 THEN 1 ELSE 0 END),
    sum(CASE WHEN flags & 8 <> 0 THEN 1 ELSE 0 END), sum(CASE WHEN flags & 8 <> 0 THEN size ELSE 0 END),
    max(uid), max(modseq)
FROM messages WHERE mailbox_id BETWEEN :first AND :last GROUP BY mailbox_id;

-- name: sums_of_part
-- The same of some messages of one mailbox, from a UID on.
SELECT count(*), sum(size), sum(CASE WHEN flags & 1 = 0 THEN 1 ELSE 0 END),
    sum(CASE WHEN flags & 8 <> 0 THEN 1 ELSE 0 END), sum(CASE WHEN flags & 8 <> 0 THEN size ELSE 0 END),
    max(uid), max(modseq)
FROM (
    SELECT uid, size, flags, modseq FROM messages WHERE mailbox_id = :mailbox_id AND uid > :uid ORDER BY uid LIMIT :limit
) AS some_messages;

-- name: sums_of_expunged
-- How many UIDs of each mailbox are noted as expunged, and the greatest UID and MODSEQ of these.
SELECT mailbox_id, sum(last_uid - first_uid + 1), max(last_uid), max(modseq)
FROM expunged WHERE mailbox_id BETWEEN :first AND :last GROUP BY mailbox_id;

-- name: there_and_expunged
-- UIDs that are both, the first of each mailbox.
SELECT e.mailbox_id, min(m.uid)
FROM expunged AS e JOIN messages AS m ON m.mailbox_id = e.mailbox_id AND m.uid BETWEEN e.first_uid AND e.last_uid
WHERE e.mailbox_id BETWEEN :first AND :last GROUP BY e.mailbox_id;

-- name: messages
-- Messages in mailboxes with what they name: their content, their mailbox, the entry by which they were accepted.
SELECT m.mailbox_id, m.uid, m.delivery_id, m.message_id, m.content_id, m.size, length(m.prefix) + c.size, b.mailbox_id,
    j.entry_id
FROM messages AS m
LEFT JOIN contents AS c ON c.content_id = m.content_id
LEFT JOIN mailboxes AS b ON b.mailbox_id = m.mailbox_id
LEFT JOIN journal AS j ON j.entry_id = m.delivery_id AND j.message_id = m.delivery_id
WHERE (m.mailbox_id, m.uid) > (:mailbox_id, :uid) ORDER BY m.mailbox_id, m.uid LIMIT :limit;

-- name: contents
-- Contents with their sizes, and whether a mailbox or the queue needs them.
SELECT c.content_id, c.size, length(c.octets), c.file,
    EXISTS (SELECT 1 FROM messages AS m WHERE m.content_id = c.content_id)
    OR EXISTS (SELECT 1 FROM queued_messages AS q WHERE q.content_id = c.content_id)
FROM contents AS c WHERE c.content_id > :after ORDER BY c.content_id LIMIT :limit;

-- name: content_file
-- The file of a content that is still there, and its size.
SELECT file, size FROM contents WHERE content_id = :content_id AND file IS NOT NULL;

-- name: queued_messages
-- Envelopes in the queue with what they name, and whether anybody waits for them.
SELECT q.message_id, q.content_id, q.size, length(q.prefix) + c.size, j.entry_id,
    EXISTS (SELECT 1 FROM queued_recipients AS r WHERE r.message_id = q.message_id)
FROM queued_messages AS q
LEFT JOIN contents AS c ON c.content_id = q.content_id
LEFT JOIN journal AS j ON j.entry_id = q.content_id AND j.message_id = q.content_id
WHERE q.message_id > :after ORDER BY q.message_id LIMIT :limit;

-- name: queued_recipients
-- Recipients in the queue with their message, and the process that has them if it is alive.
SELECT r.recipient_id, r.forward_path, r.destination, r.status, r.next_attempt_at, r.review_at, r.holder_id,
    q.message_id, q.release_at, h.holder_id
FROM queued_recipients AS r
LEFT JOIN queued_messages AS q ON q.message_id = r.message_id
LEFT JOIN holders AS h ON h.holder_id = r.holder_id AND h.alive_until > :now
WHERE r.recipient_id > :after ORDER BY r.recipient_id LIMIT :limit;

-- name: oldest_alive
-- The process that has relayed for longest, of those alive.
SELECT min(holder_id) FROM holders WHERE alive_until > :now;

-- name: alive_for_ever
-- Processes that count as alive for longer than any can have said.
SELECT holder_id, alive_until FROM holders WHERE alive_until > :until ORDER BY holder_id;

-- name: blocked_for_ever
-- Destinations that are left alone for longer than any can have been.
SELECT destination, blocked_until FROM destinations WHERE blocked_until > :until ORDER BY destination LIMIT :limit;

-- name: addresses
-- Addresses of ours, with the domain and the account that they name.
SELECT a.address, d.domain_id, a.account_id, c.account_id
FROM addresses AS a
LEFT JOIN domains AS d ON d.domain_id = a.domain_id
LEFT JOIN accounts AS c ON c.account_id = a.account_id
WHERE a.address > :after ORDER BY a.address LIMIT :limit;
