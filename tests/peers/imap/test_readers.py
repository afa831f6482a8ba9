"""mutt and neomutt, mail readers in a terminal: a mailbox opened, a letter read, one kept, one flagged, one deleted."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from tests.peers.conftest import program
from tests.peers.imap.mailboxes import fill, messages, session
from tests.peers.letters import letter, number_of
from tests.peers.running import PASSWORD, RunningServer
from tests.peers.terminal import run_in_terminal

from estafeta.config.settings import ListenerKind

pytestmark = pytest.mark.peers

AUTHOR = "someone@example.net"


@pytest.mark.parametrize("kind", [ListenerKind.IMAP, ListenerKind.IMAPS])
@pytest.mark.parametrize("reader", ["mutt", "neomutt"])
def test_a_reader_reads_keeps_flags_and_deletes(
    server: RunningServer, tmp_path: Path, account: str, reader: str, kind: ListenerKind
) -> None:
    letters = [letter(number, author=AUTHOR, recipient=account, size=3000) for number in range(1, 31)]
    fill(server, account, "INBOX", letters)
    url = f"{kind}://{quote(account, safe='')}@localhost:{server.ports[kind]}/"
    (tmp_path / "muttrc").write_text(
        f'set ssl_ca_certificates_file="{server.issued.authority}"\n'
        "set ssl_starttls=yes ssl_force_tls=yes ssl_verify_host=yes\n"
        f'set imap_pass="{PASSWORD}" folder="{url}" mbox_type=mbox message_cachedir="" header_cache=""\n'
        f'set from="{account}" hostname=client.example.net imap_keepalive=0 sort=mailbox-order\n'
        "set confirmappend=no confirmcreate=no delete=yes quit=yes wait_key=no beep=no charset=utf-8 mark_old=no\n"
    )
    keys = (
        "3<enter><display-message><exit>"
        f"5<enter><copy-message><kill-line>{tmp_path}/kept<enter>"
        "7<enter><flag-message>"
        "9<enter><delete-message>"
        "11<enter><save-message><kill-line>=Archive<enter>"
        "<sync-mailbox><quit>"
    )
    run_in_terminal(
        [program(reader, reader), "-n", "-F", tmp_path / "muttrc", "-e", f'push "{keys}"', "-f", f"{url}INBOX"],
        tmp_path,
        seconds=30,
    )
    with session(server, account) as client:
        inbox = {number_of(octets): (octets, flags) for octets, flags in messages(client, "INBOX")}
        archive = messages(client, "Archive")
    assert sorted(inbox) == [number for number in range(1, 31) if number not in {9, 11}]
    assert all(octets == letters[number - 1] for number, (octets, _) in inbox.items())
    # The jump to a message shows it: it was read.
    assert {number for number, (_, flags) in inbox.items() if "\\Seen" in flags} >= {3}
    assert {number for number, (_, flags) in inbox.items() if "\\Flagged" in flags} == {7}
    assert [octets for octets, _ in archive] == [letters[10]]
    assert number_of((tmp_path / "kept").read_bytes()) == 5
