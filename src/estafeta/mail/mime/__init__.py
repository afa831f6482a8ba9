"""What is inside a message, octet by octet (RFC 2045 to RFC 2049, RFC 2231, RFC 5322, RFC 6532).

`index` finds the parts, `structure` writes them as IMAP does, `section` cuts them out, `text` reads them, `sorting`
finds what lists are ordered by, and `description` is all of it that is kept beside a message. Nothing here raises for
what strangers send, and all of it takes time in proportion to their octets.
"""
