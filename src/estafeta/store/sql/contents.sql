-- name: without_digest
-- Some contents that were stored before digests were.
SELECT content_id, octets, file FROM contents WHERE digest IS NULL ORDER BY content_id LIMIT :limit;

-- name: set_digest
-- What a content is known by from now on.
UPDATE contents SET digest = :digest WHERE content_id = :content_id;
