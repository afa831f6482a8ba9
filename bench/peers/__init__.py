"""The servers that are measured side by side."""

from __future__ import annotations

from bench.peers.aiosmtpd import Aiosmtpd
from bench.peers.cyrus import Cyrus
from bench.peers.dovecot import Dovecot
from bench.peers.estafeta import Estafeta
from bench.peers.exim import Exim
from bench.peers.haraka import Haraka
from bench.peers.opensmtpd import Opensmtpd
from bench.peers.peer import Peer
from bench.peers.postfix import Postfix
from bench.peers.sink import Sink

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (Estafeta(), Postfix(), Exim(), Opensmtpd(), Haraka(), Aiosmtpd(), Dovecot(), Cyrus(), Sink())
}
"""By name, in the order of the tables."""
