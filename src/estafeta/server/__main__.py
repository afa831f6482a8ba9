"""`python -m estafeta.server`: a server to play with, that prints or keeps what comes and sends nothing on."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys

from estafeta.net.errors import TlsError
from estafeta.net.tls import ServerTls
from estafeta.server.handler import Handler
from estafeta.server.keeping import FolderKeeper, MaildirKeeper, MboxKeeper
from estafeta.server.server import Server
from estafeta.server.showing import Discarder, Printer


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C; gives the exit code."""
    options = _parser().parse_args(arguments)
    host, _, port = options.listen.rpartition(":")
    if not port.isdecimal():
        host, port = options.listen, "8025"
    try:
        tls = ServerTls(*options.tls) if options.tls else None
        server = Server(
            _handler(options),
            host=host.strip("[]") or "127.0.0.1",
            port=int(port),
            tls=tls,
            implicit_tls=options.implicit_tls,
            require_tls=options.require_tls,
            lmtp=options.lmtp,
            message_size=options.size,
        )
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(server))
    except (OSError, OverflowError, ValueError, TlsError) as error:
        print(f"estafeta.server: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(server: Server) -> None:
    async with server:
        for address in server.addresses:
            print(f"listening on {address}", flush=True)
        await server.serve_forever()


def _handler(options: argparse.Namespace) -> Handler:
    if options.folder:
        return FolderKeeper(options.folder)
    if options.maildir:
        return MaildirKeeper(options.maildir)
    if options.mbox:
        return MboxKeeper(options.mbox)
    return Discarder() if options.discard else Printer()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m estafeta.server", description=__doc__)
    parser.add_argument("--listen", metavar="HOST:PORT", default="127.0.0.1:8025", help="default: %(default)s")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--folder", metavar="FOLDER", help="keep each message as a file in FOLDER instead of printing it")
    what.add_argument("--maildir", metavar="FOLDER", help="keep messages in a Maildir")
    what.add_argument("--mbox", metavar="FILE", help="keep messages in an mbox file")
    what.add_argument("--discard", action="store_true", help="forget messages")
    parser.add_argument("--size", type=int, default=32 * 1024 * 1024, metavar="OCTETS", help="of the largest message")
    parser.add_argument("--lmtp", action="store_true", help="speak LMTP instead of SMTP")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="PEM files; offers STARTTLS")
    parser.add_argument("--implicit-tls", action="store_true", help="TLS from the start")
    parser.add_argument("--require-tls", action="store_true", help="take nothing before TLS")
    return parser


if __name__ == "__main__":
    sys.exit(main())
