-- name: keep_description
-- What is known of a content from now on.
INSERT INTO descriptions
    (content_id, envelope, body, body_structure, parts, preview, sent_at, sent_day, subject, is_reply,
    sort_from, sort_to, sort_cc, display_from, display_to, message_ids)
SELECT :content_id, :envelope, :body, :body_structure, :parts, :preview, :sent_at, :sent_day, :subject, :is_reply,
    :sort_from, :sort_to, :sort_cc, :display_from, :display_to, :message_ids
WHERE EXISTS (SELECT 1 FROM contents AS c WHERE c.content_id = :content_id)
ON CONFLICT DO NOTHING;

-- name: description
-- What is known of a content.
SELECT envelope, body, body_structure, parts, preview, sent_at, sent_day, subject, is_reply,
    sort_from, sort_to, sort_cc, display_from, display_to, message_ids
FROM descriptions WHERE content_id = :content_id;

-- name: not_described
-- Contents of a mailbox that nobody has described, from a UID on.
SELECT DISTINCT m.content_id FROM messages AS m
WHERE m.mailbox_id = :mailbox_id AND m.uid >= :first
    AND NOT EXISTS (SELECT 1 FROM descriptions AS d WHERE d.content_id = m.content_id)
LIMIT :limit;

-- name: is_described
-- Whether a content is described.
SELECT 1 FROM descriptions WHERE content_id = :content_id;
