"""IMAP for the owners of mailboxes (RFC 9051, RFC 3501): sessions over the store; the protocol is in wire.imap."""
