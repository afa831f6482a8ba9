"""POP3 as a protocol engine without I/O (RFC 1939, 2449, 2595, 3206, 5034, 6856)."""
