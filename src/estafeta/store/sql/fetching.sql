-- name: rows
-- Dates and sizes of the messages in a range of UIDs.
SELECT uid, internal_at, size
FROM messages WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last ORDER BY uid;

-- name: full_rows
-- All that a message has of its own.
SELECT uid, internal_at, size, content_id, saved_at, prefix
FROM messages WHERE mailbox_id = :mailbox_id AND uid BETWEEN :first AND :last ORDER BY uid;

-- name: enveloped
-- Messages with their envelopes; NULL where the content was not described yet.
SELECT m.uid, m.internal_at, m.size, m.content_id, d.envelope
FROM messages AS m LEFT JOIN descriptions AS d ON d.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;

-- name: described
-- Messages with all that FETCH can be asked of a description.
SELECT m.uid, m.internal_at, m.size, m.content_id, m.saved_at, m.prefix,
    d.envelope, d.body, d.body_structure, d.preview, d.message_ids, d.parts
FROM messages AS m LEFT JOIN descriptions AS d ON d.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;

-- name: with_octets
-- Messages with the first octets of their content, or the file that holds them.
SELECT m.uid, m.internal_at, m.size, m.content_id, m.prefix, substr(c.octets, 1, :most), c.file, c.size
FROM messages AS m JOIN contents AS c ON c.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;

-- name: described_with_octets
-- The same with their descriptions.
SELECT m.uid, m.internal_at, m.size, m.content_id, m.saved_at, m.prefix, substr(c.octets, 1, :most), c.file, c.size,
    d.envelope, d.body, d.body_structure, d.preview, d.message_ids, d.parts
FROM messages AS m
    JOIN contents AS c ON c.content_id = m.content_id
    LEFT JOIN descriptions AS d ON d.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;

-- name: whole
-- Messages with their whole content, or the file that holds it.
SELECT m.uid, m.internal_at, m.size, m.prefix, c.octets, c.file, c.size
FROM messages AS m JOIN contents AS c ON c.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;

-- name: described_whole
-- The same with their descriptions.
SELECT m.uid, m.internal_at, m.size, m.content_id, m.saved_at, m.prefix, c.octets, c.file, c.size,
    d.envelope, d.body, d.body_structure, d.preview, d.message_ids, d.parts
FROM messages AS m
    JOIN contents AS c ON c.content_id = m.content_id
    LEFT JOIN descriptions AS d ON d.content_id = m.content_id
WHERE m.mailbox_id = :mailbox_id AND m.uid BETWEEN :first AND :last ORDER BY m.uid;
