-- Certificates that log an account in (SASL EXTERNAL), each by its fingerprint.

CREATE TABLE certificates (
    -- SHA-256 of the certificate, 64 hexadecimal digits; it names one account.
    fingerprint TEXT PRIMARY KEY CHECK (length(fingerprint) = 64),
    address TEXT NOT NULL REFERENCES addresses (address) ON DELETE CASCADE,
    -- What it says of its owner, for people who read the list.
    subject TEXT NOT NULL,
    added_at REAL NOT NULL
);

-- Those of one account.
CREATE INDEX certificates_by_address ON certificates (address);
