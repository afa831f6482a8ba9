"""How programs of others read a notification: mutt for people, and parsers that lists and senders of mail use."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.peers.conftest import program
from tests.peers.running import wait_for

_SETTINGS = """\
set folder="{folder}" spoolfile="{folder}/mbox" mbox_type=mbox message_cachedir="" header_cache=""
set print=yes print_decode=yes print_command="cat >{folder}/printed"
set confirmappend=no confirmcreate=no quit=yes move=no mark_old=no wait_key=no beep=no charset=utf-8
"""
# The third part of a notification is what came back; it is saved as a folder of its own.
_KEYS = (
    "<print-message><view-attachments><next-entry><next-entry><save-entry><kill-line>{folder}/saved<enter><exit><quit>"
)

_BOUNCE_PARSER = """
use Mail::DeliveryStatus::BounceParser;
my $read = Mail::DeliveryStatus::BounceParser->new(join "", <STDIN>);
print join(" ", $_->get("email"), $_->get("std_reason")), "\\n" for $read->reports;
"""
_FLUFL = """
import sys, email, flufl.bounce
temporary, permanent = flufl.bounce.all_failures(email.message_from_binary_file(sys.stdin.buffer))
for kind, found in (("temporary", temporary), ("permanent", permanent)):
    for address in sorted(found):
        print(address.decode(), kind)
"""


def read_in_mutt(message: bytes, folder: Path) -> tuple[str, bytes]:
    """A notification as mutt prints it, and the message that came back in it, as mutt saves it."""
    mbox = b"From MAILER-DAEMON Sun Nov 22 12:00:00 2026\n" + message.replace(b"\r\n", b"\n") + b"\n"
    (folder / "mbox").write_bytes(mbox)
    (folder / "muttrc").write_text(_SETTINGS.format(folder=folder))
    command = [program("mutt", "mutt"), "-n", "-F", str(folder / "muttrc"), "-f", str(folder / "mbox")]
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [*command, "-e", f'push "{_KEYS.format(folder=folder)}"'],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = bytearray()

    def has_ended() -> bool:
        with suppress(OSError):  # nothing to read, or nobody left who writes
            shown.extend(os.read(master, 65536))
        return process.poll() is not None

    try:
        os.set_blocking(master, False)
        wait_for(has_ended, "mutt's end", seconds=20)
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert process.returncode == 0, shown[-3000:]
    return (folder / "printed").read_text("utf-8"), (folder / "saved").read_bytes()


def read_by_bounce_parser(message: bytes) -> list[str]:
    """Address and reason of each recipient, by Perl's Mail::DeliveryStatus::BounceParser."""
    module = "Mail::DeliveryStatus::BounceParser"
    perl = [program("perl", "perl"), f"-M{module}"]
    return _lines(
        [*perl, "-e", _BOUNCE_PARSER], [*perl, "-e", "1"], message, "libmail-deliverystatus-bounceparser-perl"
    )


def read_by_flufl(message: bytes) -> list[str]:
    """Address and kind of each failure, by flufl.bounce, which Mailman uses; Debian's own Python has it."""
    python = shutil.which("python3", path="/usr/bin") or sys.executable
    return _lines([python, "-c", _FLUFL], [python, "-c", "import flufl.bounce"], message, "python3-flufl.bounce")


def _lines(command: list[str], trial: list[str], message: bytes, package: str) -> list[str]:
    """What a parser prints; without it the test is skipped, in CI it fails."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    if subprocess.run(trial, capture_output=True, env=environment).returncode != 0:
        told = f"a parser is missing: install Debian's package {package}"
        if os.environ.get("CI"):
            pytest.fail(told)
        pytest.skip(told)
    done = subprocess.run(command, input=message, capture_output=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()
