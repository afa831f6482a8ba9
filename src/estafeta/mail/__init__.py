"""The nouns of mail: addresses, paths, envelopes, mail objects, header fields, replies (RFC 5321, 5322)."""
