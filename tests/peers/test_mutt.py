"""mutt, a mail reader: a letter written and sent by SMTP, then read and deleted by POP3, both over TLS."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from tests.peers.conftest import Run, program
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer
from tests.peers.terminal import run_in_terminal

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers


def settings(server: RunningServer, account: str, folder: Path) -> Path:
    """A muttrc: TLS that must verify, and nothing asked."""
    file = folder / "muttrc"
    file.write_text(
        "\n".join(
            [
                f'set ssl_ca_certificates_file="{server.issued.authority}"',
                "set ssl_starttls=yes ssl_force_tls=yes ssl_verify_host=yes",
                f'set from="{account}" use_envelope_from=yes copy=no hostname=client.example.net',
                f'set smtp_pass="{PASSWORD}" pop_pass="{PASSWORD}"',
                f'set folder="{folder}" mbox_type=mbox message_cachedir="" header_cache=""',
                "set confirmappend=no confirmcreate=no",
                "set delete=yes quit=yes pop_delete=yes wait_key=no beep=no charset=utf-8 send_charset=utf-8",
                "",
            ]
        )
    )
    return file


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_letter_written_in_mutt_arrives(
    server: RunningServer, run: Run, tmp_path: Path, account: str, other_account: str, scheme: str
) -> None:
    kind = ListenerKind.SUBMISSION if scheme == "smtp" else ListenerKind.SUBMISSIONS
    url = f"{scheme}://{quote(account, safe='')}@localhost:{server.ports[kind]}/"
    attachment = tmp_path / "data.bin"
    attachment.write_bytes(bytes(range(256)))
    done = run(
        program("mutt", "mutt"), "-n", "-F", settings(server, account, tmp_path), "-e", f'set smtp_url="{url}"',
        "-s", "Grüße", "-a", attachment, "--", other_account, stdin=b"Liebe Welt\n.\n..\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (message,) = server.messages(other_account)
    assert b"\r\nSubject: =?utf-8?" in message
    assert b"\r\n\r\nLiebe Welt\r\n.\r\n..\r\n" in message
    assert b" with ESMTPSA id " in message


@pytest.mark.parametrize("scheme", ["pop", "pops"])
def test_mail_saved_in_mutt_is_gone_from_the_mailbox(
    server: RunningServer, tmp_path: Path, account: str, scheme: str
) -> None:
    author = "someone@example.net"
    server.put(author, account, [letter(number, author=author, recipient=account) for number in range(1, 4)])
    kind = ListenerKind.POP3 if scheme == "pop" else ListenerKind.POP3S
    url = f"{scheme}://{quote(account, safe='')}@localhost:{server.ports[kind]}/"
    # The second letter is saved, which deletes it; quitting makes that so.
    keys = "2<enter><save-message><kill-line>=saved<enter><sync-mailbox><quit>"
    run_in_terminal(
        [
            program("mutt", "mutt"), "-n", "-F", settings(server, account, tmp_path), "-e", f'push "{keys}"', "-f", url,
        ],
        tmp_path,
    )  # fmt: skip

    saved = (tmp_path / "saved").read_bytes()
    assert number_of(saved) == 2
    assert [number_of(message) for message in server.messages(account)] == [1, 3]
