"""ENABLE (RFC 9051 §6.3.1): extensions that change what the server says unasked."""

from __future__ import annotations

from estafeta.access.imap.session import Session
from estafeta.access.imap.watching import Watching
from estafeta.wire.imap.commands.enable import Enable
from estafeta.wire.imap.completion import Completion, ok

_NAMES = {
    name.upper(): name
    for name in ("CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "IMAP4rev2", "UIDONLY", "METADATA", "METADATA-SERVER")
}
"""All that can be enabled; RFC 5464 §4.1 has the last two."""


async def enable(session: Session, request: Enable) -> Completion:
    """Turn on what is known; what is not is passed over."""
    enabled: list[str] = []
    for asked in request.capabilities:
        name = _NAMES.get(asked)
        if name is None or asked in session.enabled or name in enabled:
            continue
        if asked == "CONDSTORE":
            session.enable_condstore()
        session.enabled.add(asked)
        if asked == "QRESYNC":
            session.enable_condstore()  # RFC 7162 §3.2.3
        if asked in ("METADATA", "METADATA-SERVER") and session.watching is session.annotating is None:
            session.annotating = Watching(session)
            await session.annotating.start()
        enabled.append(name)
    # RFC 9051 §6.3.1: sent even when nothing was enabled
    session.send(b"* ENABLED%b\r\n" % b"".join(b" " + name.encode() for name in enabled))
    return ok("Enabled")
