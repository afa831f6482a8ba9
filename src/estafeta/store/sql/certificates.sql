-- name: add_certificate
-- A certificate logs an account in from now on.
INSERT INTO certificates (fingerprint, address, subject, added_at)
VALUES (:fingerprint, :address, :subject, :now);

-- name: find_certificate
-- The account that a certificate logs in.
SELECT address FROM certificates WHERE fingerprint = :fingerprint;

-- name: list_certificates
-- The certificates of one account, the oldest first.
SELECT fingerprint, subject, added_at FROM certificates WHERE address = :address ORDER BY added_at, fingerprint;

-- name: remove_certificate
-- A certificate of an account logs nobody in any more.
DELETE FROM certificates WHERE fingerprint = :fingerprint AND address = :address;
