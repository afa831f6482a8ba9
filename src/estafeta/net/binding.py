"""Sockets bound to the addresses that are to be listened on; what cannot be had is told by address and port."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from pathlib import Path

from estafeta.net.address import PeerAddress

_PASSIVE = socket.AI_PASSIVE
_NO_SUCH_ADDRESS = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


async def bound_sockets(host: str | None, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """A socket for each address of the host (None: all addresses); with port 0 all get the one of the first.

    Raises OSError naming address and port when they cannot be had; nothing stays bound then.
    """
    try:  # an address needs no thread that looks it up
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=_PASSIVE | socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=_PASSIVE)
    sockets: list[socket.socket] = []
    skipped: OSError | None = None
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            # With port 0 all addresses get the port that the system chose for the first.
            chosen = sockets[0].getsockname()[1] if sockets and port == 0 else address[1]
            try:
                sockets.append(_bound(family, kind, protocol, (address[0], chosen, *address[2:]), reuse_port))
            except OSError as error:
                if error.errno not in _NO_SUCH_ADDRESS:
                    raise
                skipped = error  # a name may stand for an address family that this system does not have
    except OSError:
        for one in sockets:
            one.close()
        raise
    if not sockets:
        raise skipped or OSError(errno.EADDRNOTAVAIL, f"cannot listen on {host}: no address")
    return sockets


def bound_unix(path: Path) -> socket.socket:
    """A Unix socket; one that was left behind is removed first. Raises OSError naming the path."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        if path.is_socket():
            path.unlink()
        one.bind(str(path))
    except OSError as error:
        one.close()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, f"cannot listen on {path}: {reason}") from error
    return one


def _bound(family: int, kind: int, protocol: int, address: tuple[object, ...], reuse_port: bool) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
    except OSError as error:
        one.close()
        at = PeerAddress(str(address[0]), int(str(address[1])))
        raise OSError(error.errno, f"cannot listen on {at}: {os.strerror(error.errno or 0)}") from error
    return one
