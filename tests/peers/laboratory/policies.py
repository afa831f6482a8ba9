"""The web server that policies of MTA-STS are fetched from (RFC 8461 §3.3)."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

from tests.peers.laboratory.certificates import certificate_for
from tests.peers.laboratory.isolation import Laboratory
from tests.peers.laboratory.scripted import server_context

POLICY_PATH = "/.well-known/mta-sts.txt"


def policy(mode: str, *hosts: str) -> str:
    """The text of a policy."""
    return "\r\n".join(["version: STSv1", f"mode: {mode}", *(f"mx: {host}" for host in hosts), "max_age: 86400", ""])


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    context: ssl.SSLContext
    policies: Mapping[str, str]
    asked: list[str]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not like the certificate goes away."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def setup(self) -> None:
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def do_GET(self) -> None:
        """The policy of the domain whose host is asked for."""
        host = self.headers["Host"]
        self.server.asked.append(host)
        text = self.server.policies.get(host.removeprefix("mta-sts."))
        is_known = text is not None and self.path == POLICY_PATH
        self.send_response(200 if is_known else 404)
        body = (text or "").encode() if is_known else b"nothing here\n"
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


class PolicyHost:
    """Answers at one address for the policies of many domains, from `start` to `stop`.

    Its certificate is good for all of them but those in `unnamed`.
    """

    def __init__(self, laboratory: Laboratory, policies: Mapping[str, str], *, unnamed: tuple[str, ...] = ()) -> None:
        self.address = laboratory.address()
        names = [f"mta-sts.{domain}" for domain in policies if domain not in unnamed]
        self._server = laboratory.call(lambda: _Server((self.address, 443), _Handler))
        self._server.context = server_context(certificate_for(laboratory, *names))
        self._server.policies = policies
        self._server.asked = []
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="policies")

    @property
    def asked(self) -> list[str]:
        """The hosts that were asked for, one for each request."""
        return self._server.asked

    def __enter__(self) -> PolicyHost:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
