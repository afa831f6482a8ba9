-- Addresses whose user is elsewhere now (RFC 5321 §3.4): an alias of one member, of which clients are told.

CREATE TABLE moved (
    alias TEXT PRIMARY KEY REFERENCES addresses (address) ON DELETE CASCADE,
    -- 1: mail goes on to the member (251); 0: it is not taken (551).
    is_forwarded INTEGER NOT NULL CHECK (is_forwarded IN (0, 1))
);
