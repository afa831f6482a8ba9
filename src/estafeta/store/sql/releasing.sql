-- name: is_delivered
-- Whether a delivery is in a mailbox already.
SELECT 1 FROM messages WHERE delivery_id = :delivery_id AND mailbox_id = :mailbox_id;
