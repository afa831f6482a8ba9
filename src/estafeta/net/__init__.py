"""Sockets, TLS contexts and listeners; this room knows no mail."""
