"""What breaks in a protocol, as exceptions; what a protocol expects is a value."""

from __future__ import annotations


class LocalProtocolError(Exception):
    """This side wanted to do what the protocol does not allow now; nothing was sent."""


class RemoteProtocolError(Exception):
    """The other side broke the protocol so that the connection cannot go on."""


class ExtensionMissing(LocalProtocolError):
    """What was wanted needs an extension that the other side did not announce; nothing was sent."""

    def __init__(self, keyword: str, what: str) -> None:
        super().__init__(f"{what} needs {keyword}, which was not announced")
        self.keyword = keyword
