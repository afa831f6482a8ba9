"""IMAP4rev1 and IMAP4rev2 (RFC 3501, RFC 9051) as an engine: octets in, requests out, octets out."""
