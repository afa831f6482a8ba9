"""SMTP and LMTP as engines for both sides (RFC 5321, RFC 2033)."""
