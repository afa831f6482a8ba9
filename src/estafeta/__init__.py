"""Estafeta: a complete electronic post office (RFC 5321 and all that stands around it)."""

__version__ = "0.1.0"
