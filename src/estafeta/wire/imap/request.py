"""What the client asks for: each command is read into a value of its own (`commands/`)."""

from __future__ import annotations

from estafeta.mail.value import value


@value
class Request:
    """One command, read. The engine keeps its tag until it is completed."""
