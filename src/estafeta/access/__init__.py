"""Mailboxes opened to their owners."""
