-- Keys for older mechanisms, of accounts whose password was given while the mechanism was on.

-- SCRAM-SHA-1 (RFC 5802), by the salt and the iterations of SCRAM-SHA-256.
ALTER TABLE credentials ADD COLUMN scram_sha_1_stored_key BLOB;
ALTER TABLE credentials ADD COLUMN scram_sha_1_server_key BLOB;
-- CRAM-MD5 (RFC 2195): the two states of the keyed hash, which are as good as the password for this mechanism.
ALTER TABLE credentials ADD COLUMN cram_md5 BLOB CHECK (length(cram_md5) = 32);
