"""BURL: content that the server fetches from mailboxes by URLs (RFC 4468)."""

from __future__ import annotations

from estafeta.wire.smtp.session import Extension, Session


def _offer(session: Session) -> str | None:
    if not session.options.burl:
        return None
    # RFC 4468 §3.3: signed URLs; after the login the user's own messages too, by URLs that are not signed.
    return f"BURL imap imap://{session.options.hostname}" if session.is_authenticated else "BURL imap"


BURL = Extension("BURL", "RFC 4468", _offer, verbs=("BURL",))
