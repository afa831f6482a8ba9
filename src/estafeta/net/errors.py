"""What breaks on a connection, as exceptions; none of them says anything about mail."""

from __future__ import annotations


class NetError(Exception):
    """Something below the protocols broke."""


class ConnectionLost(NetError):
    """The connection is gone: reset by the peer, cut on the way, or closed on this side."""


class DeadlinePassed(NetError):
    """The peer did not do within the deadline what was waited for."""


class ConnectFailed(NetError):
    """No connection could be made; the message names the host, the port and the reason."""


class ProxyError(NetError):
    """A connection from a proxy does not begin with a PROXY header as it must."""


class TlsError(NetError):
    """A TLS handshake failed, or a certificate or key cannot be used; the message says why."""
